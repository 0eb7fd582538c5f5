package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/plain"
)

// asQuestion is the question of doctor --as: may PRINCIPAL do ACTION with RESOURCE?
type asQuestion struct {
	principal, action, resource string
	given                       []string // KEY=VALUE, what is taken for true
}

// asAnswer is the answer of doctor --as, as --json prints it. Policies are the ids of those that decided. Near is
// empty if the request is allowed or if a policy forbids it.
type asAnswer struct {
	Allowed   bool          `json:"allowed"`
	Principal string        `json:"principal"`
	Account   string        `json:"account"`
	Groups    []string      `json:"groups"`
	Action    string        `json:"action"`
	Resource  string        `json:"resource"`
	Policies  []string      `json:"policies"` // that decided
	Reason    string        `json:"reason"`
	Near      []authz.Match `json:"near"` // policies that would permit it, and what of them does not fit
}

// asHelp is the part of doctor's help about --as.
const asHelp = `

With --as PRINCIPAL ACTION RESOURCE, doctor explains whether the policies permit a request, and nothing else is looked at: which policy decides,
or which ones come close and what of them does not fit. PRINCIPAL is a name of the settings, or ACCOUNT/NAME. RESOURCE is a job's id or ARN, a
model, a role's ARN, s3://BUCKET/KEY, a key id, an account, "*" for the principal's account, or a Cedar entity such as Job::"arn:…". A job is
looked up in the data directory. --given says what cannot be known here: account, group, owner, name, model, tag:KEY, request-tag:KEY.`

// explainAs prints how the policies of the settings decide a request, and why. For a request that no policy
// permits it lists up to mostNear policies that come close. It asks no server: the decision is that of the policy
// file as it is now. The exit code is 0 for denied too; it is an error only if the question cannot be understood.
func (a *app) explainAs(ctx context.Context, c *config.Config, q asQuestion, asJSON bool) error {
	policies, err := authz.Open(c.Policy, nil)
	if err != nil {
		return err
	}
	r, err := requestAs(ctx, c, q)
	if err != nil {
		return err
	}
	d := policies.Decide(ctx, r)
	answer := asAnswer{Allowed: d.Allowed, Principal: r.Who.Principal, Account: r.Who.Account, Groups: orNone(r.Who.Groups), Action: r.Action,
		Resource: fmt.Sprintf("%s::%q", r.Resource.Type, r.Resource.ID), Policies: orNone(d.Policies), Reason: d.Reason, Near: []authz.Match{}}
	// A request that a policy forbids needs no near ones: no permit can change it.
	if !d.Allowed && !d.Explicit {
		answer.Near = append(answer.Near, authz.Near(policies.Explain(ctx, r), mostNear)...)
	}
	if asJSON {
		return a.printJSON(answer)
	}
	a.printAs(answer, c.Policy)
	return nil
}

// mostNear is the largest number of close policies that are listed.
const mostNear = 5

// orNone returns a copy of s that is never nil, so that JSON has [] and not null.
func orNone(s []string) []string { return append([]string{}, s...) }

// printAs prints an answer as lines of a word and a text: the verdict, why, the close policies and, for Create,
// the other permissions that a job needs.
func (a *app) printAs(w asAnswer, file string) {
	verdict := "denied"
	if w.Allowed {
		verdict = "allowed"
	}
	groups := ""
	if len(w.Groups) > 0 {
		groups = ", groups " + strings.Join(w.Groups, ", ")
	}
	plain.Fprintf(a.stdout, "%-9s %s (account %s%s): %s on %s\n", verdict, w.Principal, w.Account, groups, w.Action, w.Resource)
	plain.Fprintf(a.stdout, "%-9s %s\n", "why", w.Reason)
	for _, m := range w.Near {
		plain.Fprintf(a.stdout, "%-9s policy %q (%s:%d) would permit it, except for %s\n", "near", m.Policy, file, m.Line, strings.Join(m.Lacks, ", "))
	}
	if w.Action == createAction {
		plain.Fprintf(a.stdout, "%-9s a job needs %s on the account and on the model (there, bedrock:InvokeModel is enough), and iam:PassRole on the role\n", "note", createAction)
	}
}

// createAction is the action that is asked for several resources: the account, the model and, as iam:PassRole, the
// role.
const createAction = "bedrock:CreateModelInvocationJob"

// requestAs returns the request that a question describes, with the principal's account and groups and the
// resource's attributes. An unknown action, principal or job is an error with a remedy.
func requestAs(ctx context.Context, c *config.Config, q asQuestion) (authz.Request, error) {
	g, err := parseGiven(q.given)
	if err != nil {
		return authz.Request{}, err
	}
	r := authz.Request{Action: q.action, Tags: g.requestTags, Context: map[string]string{}}
	if authz.Types(q.action) == nil {
		return r, hint(fmt.Errorf("there is no action %q", q.action), "%s", authz.NoAction(q.action))
	}
	if r.Who, err = identityAs(c, q.principal, g); err != nil {
		return r, err
	}
	if r.Resource, err = resourceAs(c, q, r.Who, r.Context); err != nil {
		return r, err
	}
	if r.Resource.Type == authz.TypeJob && r.Resource.Account == r.Who.Account {
		err = g.job(ctx, c, &r.Resource)
	}
	return r, err
}

// assumed holds the facts of --given. They replace those of the settings and of the data directory.
type assumed struct {
	one               map[string]string // account, owner, name, model
	groups            []string
	tags, requestTags map[string]string
}

// parseGiven reads the KEY=VALUE pairs of --given. An unknown key is a *usageError.
func parseGiven(all []string) (assumed, error) {
	g := assumed{one: map[string]string{}, tags: map[string]string{}, requestTags: map[string]string{}}
	for _, text := range all {
		key, value, ok := strings.Cut(text, "=")
		tag, isTag := strings.CutPrefix(key, "tag:")
		put, isPut := strings.CutPrefix(key, "request-tag:")
		switch {
		case !ok:
			return g, &usageError{reason: fmt.Sprintf("--given %q has no value", text), remedy: "write it as KEY=VALUE"}
		case isTag:
			g.tags[tag] = value
		case isPut:
			g.requestTags[put] = value
		case key == "group":
			g.groups = append(g.groups, value)
		case slices.Contains([]string{"account", "owner", "name", "model"}, key):
			g.one[key] = value
		default:
			return g, &usageError{reason: fmt.Sprintf("--given does not know %q", key), remedy: "it knows account, group, owner, name, model, tag:KEY and request-tag:KEY"}
		}
	}
	return g, nil
}

// identityAs finds the principal among the keys of the settings. If accounts differ, or the keys of one principal
// have different groups, the error asks which. A principal without a key is accepted if tokens of an issuer are
// configured or if its account or groups are given.
func identityAs(c *config.Config, name string, g assumed) (authz.Identity, error) {
	if _, id, ok := entityOf(name); ok {
		name = id
	}
	account := g.one["account"]
	if before, after, ok := strings.Cut(name, "/"); ok && len(before) == 12 && account == "" {
		account, name = before, after
	}
	var found []authz.Identity
	add := func(principal, in string, groups []string) {
		if principal == name && (account == "" || account == in) {
			found = append(found, authz.Identity{Account: in, Principal: principal, Groups: groups})
		}
	}
	for _, k := range c.Credentials {
		add(k.Principal, k.Account, k.Groups)
	}
	for _, k := range c.APIKeys {
		add(k.Principal, k.Account, k.Groups)
	}
	if len(c.Credentials) == 0 {
		add(config.AdminPrincipal, c.Account, nil)
	}
	// Several keys of one principal are fine if they agree on account and groups; otherwise the answer would
	// depend on the key.
	for _, other := range found[min(1, len(found)):] {
		switch {
		case other.Account != found[0].Account:
			return other, hint(fmt.Errorf("there is a principal %q in the accounts %s and %s", name, found[0].Account, other.Account), "say which: %s/%s", other.Account, name)
		case !slices.Equal(other.Groups, found[0].Groups) && len(g.groups) == 0:
			return other, hint(fmt.Errorf("the keys of %q have different groups", name), "say which, once for each: --given group=NAME")
		}
	}
	who := authz.Identity{Account: account, Principal: name}
	switch {
	case len(found) > 0:
		who = found[0]
	case c.OIDC.Issuer == "" && account == "" && len(g.groups) == 0:
		return who, hint(fmt.Errorf("no key of the settings is of a principal %q", name), "name one that has a key, or say with --given account=… what would be")
	case account == "":
		who.Account = c.Account
	}
	if len(g.groups) > 0 {
		who.Groups = g.groups
	}
	return who, nil
}

// entityOf splits a Cedar entity, Type::"id". It does not interpret escapes in the id.
func entityOf(text string) (typ, id string, ok bool) {
	typ, rest, ok := strings.Cut(text, "::")
	if !ok || len(rest) < 2 || rest[0] != '"' || rest[len(rest)-1] != '"' {
		return "", "", false
	}
	return typ, rest[1 : len(rest)-1], true
}

// resourceAs returns the resource that a RESOURCE names, in the form that the server uses for its decisions: a job
// by its ARN, a model by its id, a bucket by its name. The key of an object goes into context, as key and prefix.
func resourceAs(c *config.Config, q asQuestion, who authz.Identity, context map[string]string) (authz.Resource, error) {
	types := authz.Types(q.action)
	r := authz.Resource{ID: q.resource, Account: who.Account}
	if typ, id, ok := entityOf(q.resource); ok {
		r.Type, r.ID = typ, id
	} else {
		r.Type = guessType(types, q.resource)
	}
	if !slices.Contains(types, r.Type) {
		return r, hint(fmt.Errorf("%s is not an action on a %s", q.action, r.Type), "its resource is: %s", strings.Join(types, " or "))
	}
	switch r.Type {
	case authz.TypeAccount:
		if r.ID == "*" {
			r.ID = who.Account
		}
		r.Account = r.ID
	case authz.TypeModel:
		r.ID, r.Account = modelAs(c, r.ID), ""
	case authz.TypeRole:
		arn, err := batholith.ParseARN(r.ID)
		if err != nil {
			return r, hint(err, "write arn:aws:iam::%s:role/NAME", who.Account)
		}
		if arn.Account != "" {
			r.Account = arn.Account
		}
	case authz.TypeJob:
		if batholith.ValidJobID(r.ID) {
			r.ID = batholith.JobARN(c.Region, who.Account, r.ID).String()
		}
		arn, err := batholith.ParseARN(r.ID)
		if _, ok := arn.JobID(); err != nil || !ok {
			return r, hint(fmt.Errorf("%q is neither the id nor the ARN of a job", r.ID), "batholith jobs lists them")
		}
		r.Account = arn.Account
	case authz.TypeBucket:
		r.ID, context["key"] = bucketAs(r.ID)
		context["prefix"] = context["key"]
	case authz.TypeKey:
		r.ID, r.Account = keyAs(c, r.ID, who.Account)
	}
	return r, nil
}

// guessType returns the type of a resource that is not written as a Cedar entity: an account for "*" and for 12
// digits, otherwise a model. Actions with one type have that type.
func guessType(types []string, resource string) string {
	if len(types) == 1 {
		return types[0]
	}
	if resource == "*" || len(resource) == 12 && strings.Trim(resource, "0123456789") == "" {
		return authz.TypeAccount
	}
	return authz.TypeModel // the actions with several types are those of an account and a model
}

// keyAs returns the id and the account of an encryption key, given its id, an alias of the account, or an ARN. A name
// that the settings do not have is returned unchanged, with the account.
func keyAs(c *config.Config, name, account string) (id, owner string) {
	ring, err := c.Ring()
	if err != nil {
		return name, account
	}
	if ref, err := ring.FindFor(account, name); err == nil {
		return ref.ID, ref.Account
	}
	if ref, err := ring.Find(name); err == nil {
		return ref.ID, ref.Account
	}
	return name, account
}

// modelAs returns the id of a model, given its id, an alias or an ARN. A name that the settings do not have is
// returned without the ARN's prefix.
func modelAs(c *config.Config, name string) string {
	name = strings.TrimPrefix(name[strings.LastIndexByte(name, '/')+1:], "foundation-model/")
	for _, m := range c.Models {
		if slices.Contains(m.Aliases, name) {
			return m.ID
		}
	}
	return name
}

// bucketAs splits a place in S3, written as s3://BUCKET/KEY, as an ARN or as BUCKET/KEY. The key may be empty.
func bucketAs(place string) (bucket, key string) {
	if b, k, err := object.ParseURI(place); err == nil {
		return b, k
	}
	bucket, key, _ = strings.Cut(strings.TrimPrefix(place, "arn:aws:s3:::"), "/")
	return strings.TrimPrefix(bucket, "s3://"), key
}

// job sets the owner, name, model and tags of a job: from the database, then from --given. It opens the database for
// reading only, so it works while a server runs. A job that is unknown in both is an error.
func (g assumed) job(ctx context.Context, c *config.Config, r *authz.Resource) error {
	arn, _ := batholith.ParseARN(r.ID)
	id, _ := arn.JobID()
	j, where, err := peek(ctx, c, id)
	known := err == nil && j.Account == arn.Account
	if err != nil && !errors.Is(err, batholith.ErrNotFound) && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if !known && len(g.one)+len(g.tags) == 0 {
		return hint(fmt.Errorf("job %s is not in %s", id, where), "name its data directory with --data, or say what the job is: --given owner=NAME --given tag:KEY=VALUE")
	}
	if !known {
		j = batholith.Job{} // another account's
	}
	r.Job = authz.Job{Owner: j.Owner, Name: j.Name, Model: j.Model, Tags: map[string]string{}}
	for _, t := range j.Tags {
		r.Job.Tags[t.Key] = t.Value
	}
	for key, place := range map[string]*string{"owner": &r.Job.Owner, "name": &r.Job.Name, "model": &r.Job.Model} {
		if value, ok := g.one[key]; ok {
			*place = value
		}
	}
	for key, value := range g.tags {
		r.Job.Tags[key] = value
	}
	return nil
}

// asArguments checks the number of arguments of doctor: two with --as, otherwise none.
func asArguments(as string, args []string) error {
	switch {
	case as == "" && len(args) > 0:
		return &usageError{reason: fmt.Sprintf("batholith doctor does not take the argument %q", args[0]), remedy: "to have a decision explained: batholith doctor --as PRINCIPAL ACTION RESOURCE"}
	case as != "" && len(args) != 2:
		return &usageError{reason: "batholith doctor --as needs PRINCIPAL, ACTION and RESOURCE", remedy: "such as: batholith doctor --as alice bedrock:GetModelInvocationJob JOB"}
	}
	return nil
}
