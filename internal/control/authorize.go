package control

import (
	"context"
	"errors"
	"fmt"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/bedrock"
)

// Authorizer decides who may do what.
type Authorizer interface {
	Decide(ctx context.Context, r authz.Request) authz.Decision
	// Unrestricted tells that every principal may do everything in its own account, so that
	// nothing needs to be asked.
	Unrestricted() bool
}

// free tells whether every caller may do everything in its account.
func (a *API) free() bool { return a.Authorizer == nil || a.Authorizer.Unrestricted() }

// ask decides on one request of the caller. arn names the resource in a refusal.
func (a *API) ask(ctx context.Context, action string, resource authz.Resource, tags []batholith.Tag) (authz.Request, authz.Decision) {
	who := bedrock.CallerFrom(ctx)
	r := authz.Request{Who: authz.Identity{Account: who.Account, Principal: who.Principal, Groups: who.Groups},
		Action: action, Resource: resource, Tags: tagMap(tags)}
	return r, a.Authorizer.Decide(ctx, r)
}

// may refuses what the caller may not do with a resource, which arn names in the refusal.
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

func denied(r authz.Request, d authz.Decision, arn string) error {
	return bedrock.AccessDenied("%s", d.Refusal(r, arn))
}

// mayAccount refuses an action on the caller's account. names is the resource of the refusal
// within the account: "model-invocation-job/*".
func (a *API) mayAccount(ctx context.Context, action, names string, tags []batholith.Tag) error {
	account := bedrock.CallerFrom(ctx).Account
	arn := batholith.ARN{Partition: "aws", Service: "bedrock", Region: a.Region, Account: account, Resource: names}.String()
	return a.may(ctx, action, authz.Resource{Type: authz.TypeAccount, ID: account, Account: account}, arn, tags)
}

// mayModel refuses an action on a model, by whichever of its names it was asked for.
func (a *API) mayModel(ctx context.Context, action, name string) error {
	r, arn := a.modelResource(name)
	return a.may(ctx, action, r, arn, nil)
}

func (a *API) modelResource(name string) (r authz.Resource, arn string) {
	if m, ok := a.Models.Lookup(name); ok {
		name = m.ID
	}
	return authz.Resource{Type: authz.TypeModel, ID: name}, a.foundationModel(name)
}

// mayCreate refuses a job that the caller may not create: the account's jobs, the model and the
// role must all be permitted.
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

// mayUse refuses a model that the caller may not use for jobs. A permit of either action is
// enough, and a policy that forbids one of them forbids the job: a model that nobody may invoke
// must not be reached through a job.
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

// mayJob refuses an action on a job of the caller's account. A caller who may not see the job,
// which is to get it, is answered as for a job that does not exist, so that nobody learns by a
// refusal which jobs there are.
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

// sees tells whether the caller may get a job, whose tags j must have.
func (a *API) sees(ctx context.Context, j batholith.Job) bool {
	_, d := a.ask(ctx, "bedrock:GetModelInvocationJob", a.jobResource(j), nil)
	return d.Allowed
}

// jobResource is a job as policies see it.
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
