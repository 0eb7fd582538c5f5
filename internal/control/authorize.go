package control

import (
	"context"
	"errors"
	"fmt"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/bedrock"
)

// Authorizer decides whether a principal may carry out an action on a resource. Nil in [API]
// permits everything within the caller's account.
type Authorizer interface {
	Decide(ctx context.Context, r authz.Request) authz.Decision
	// Unrestricted reports whether every principal may do everything in its own account. Then
	// Decide need not be called.
	Unrestricted() bool
}

// free reports whether every caller may do everything in its account.
func (a *API) free() bool { return a.Authorizer == nil || a.Authorizer.Unrestricted() }

// ask has the Authorizer decide about one action of the caller of ctx. tags are the tags of the
// request, not those of the resource. It returns the request too, for the text of a refusal.
func (a *API) ask(ctx context.Context, action string, resource authz.Resource, tags []batholith.Tag) (authz.Request, authz.Decision) {
	who := bedrock.CallerFrom(ctx)
	r := authz.Request{Who: authz.Identity{Account: who.Account, Principal: who.Principal, Groups: who.Groups},
		Action: action, Resource: resource, Tags: tagMap(tags)}
	return r, a.Authorizer.Decide(ctx, r)
}

// may returns AccessDeniedException if the caller may not carry out action on resource. The
// message names the resource by arn.
func (a *API) may(ctx context.Context, action string, resource authz.Resource, arn string, tags []batholith.Tag) error {
	if a.free() {
		return nil
	}
	r, d := a.ask(ctx, action, resource, tags)
	if d.Allowed {
		return nil
	}
	return denied(r, d, arn)
}

// denied returns the AccessDeniedException for decision d.
func denied(r authz.Request, d authz.Decision, arn string) error {
	return bedrock.AccessDenied("%s", d.Refusal(r, arn))
}

// mayAccount returns AccessDeniedException if the caller may not carry out action on its own
// account. names is the last part of the ARN in the message: "model-invocation-job/*".
func (a *API) mayAccount(ctx context.Context, action, names string, tags []batholith.Tag) error {
	account := bedrock.CallerFrom(ctx).Account
	arn := batholith.ARN{Partition: "aws", Service: "bedrock", Region: a.Region, Account: account, Resource: names}.String()
	return a.may(ctx, action, authz.Resource{Type: authz.TypeAccount, ID: account, Account: account}, arn, tags)
}

// mayModel returns AccessDeniedException if the caller may not carry out action on a model. name
// is the model's ID or one of its aliases: policies see the ID.
func (a *API) mayModel(ctx context.Context, action, name string) error {
	r, arn := a.modelResource(name)
	return a.may(ctx, action, r, arn, nil)
}

// modelResource returns a model as policies see it, and its ARN. An unknown name is its own ID.
func (a *API) modelResource(name string) (r authz.Resource, arn string) {
	if m, ok := a.Models.Lookup(name); ok {
		name = m.ID
	}
	return authz.Resource{Type: authz.TypeModel, ID: name}, a.foundationModel(name)
}

// mayCreate returns AccessDeniedException if the caller may not create the job. Three permits are
// needed: to create jobs in the account, to use the model, and to pass the role (iam:PassRole).
func (a *API) mayCreate(ctx context.Context, req batholith.Request) error {
	const create = "bedrock:CreateModelInvocationJob"
	if a.free() {
		return nil
	}
	if err := a.mayAccount(ctx, create, "model-invocation-job/*", req.Tags); err != nil {
		return err
	}
	if err := a.mayUse(ctx, create, req); err != nil {
		return err
	}
	role := authz.Resource{Type: authz.TypeRole, ID: req.RoleARN}
	if arn, err := batholith.ParseARN(req.RoleARN); err == nil {
		role.Account = arn.Account
	}
	return a.may(ctx, "iam:PassRole", role, req.RoleARN, nil)
}

// mayUse returns AccessDeniedException if the caller may not use the model for jobs. A permit for
// CreateModelInvocationJob or for InvokeModel is enough. A policy that explicitly forbids either
// action forbids the job, so that a job cannot reach a model that its creator must not invoke.
func (a *API) mayUse(ctx context.Context, create string, req batholith.Request) error {
	model, arn := a.modelResource(req.ModelID)
	r, d := a.ask(ctx, create, model, req.Tags)
	s, e := a.ask(ctx, "bedrock:InvokeModel", model, nil)
	switch {
	case !d.Explicit && e.Explicit:
		return denied(s, e, arn)
	case d.Allowed || e.Allowed && !d.Explicit:
		return nil
	}
	return denied(r, d, arn)
}

// mayJob returns AccessDeniedException if the caller may not carry out action on a job of its
// account. If the caller may not even get the job, the answer is the same as for a job that does
// not exist. Otherwise a refusal would reveal which jobs exist. identifier is the job as the
// request named it.
func (a *API) mayJob(ctx context.Context, action, account, id, identifier string, tags []batholith.Tag) error {
	if a.free() {
		return nil
	}
	j, err := a.Store.Job(ctx, account, id)
	if err == nil {
		j.Tags, err = a.Store.Tags(ctx, account, id)
	}
	if err != nil && !errors.Is(err, batholith.ErrNotFound) {
		return fmt.Errorf("read job %s: %w", identifier, err)
	}
	if err == nil {
		r, d := a.ask(ctx, action, a.jobResource(j), tags)
		if d.Allowed {
			return nil
		}
		if a.sees(ctx, j) {
			return denied(r, d, r.Resource.ID)
		}
	}
	nothing := a.jobResource(batholith.Job{ID: id, Account: account})
	r, d := a.ask(ctx, action, nothing, tags)
	if d.Allowed {
		return noJob(identifier)
	}
	return denied(r, d, nothing.ID)
}

// sees reports whether the caller may get job j. j.Tags must be filled in: policies may test
// them.
func (a *API) sees(ctx context.Context, j batholith.Job) bool {
	_, d := a.ask(ctx, "bedrock:GetModelInvocationJob", a.jobResource(j), nil)
	return d.Allowed
}

// jobResource returns a job as policies see it.
func (a *API) jobResource(j batholith.Job) authz.Resource {
	return authz.Resource{Type: authz.TypeJob, ID: batholith.JobARN(a.Region, j.Account, j.ID).String(), Account: j.Account,
		Job: authz.Job{Owner: j.Owner, Name: j.Name, Model: j.Model, Tags: tagMap(j.Tags)}}
}

func tagMap(tags []batholith.Tag) map[string]string {
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[t.Key] = t.Value
	}
	return m
}
