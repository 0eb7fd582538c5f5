package authz

import (
	"fmt"
	"iter"
	"slices"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
)

// owned denies a request of an unknown caller, and a request for a resource of another account. It is asked before
// any policy, so no policy can permit access to another account. ok is true if the policies decide.
func owned(r Request) (Decision, bool) {
	if r.Who.Account == "" || r.Who.Principal == "" {
		return Decision{Explicit: true, Reason: "The caller is not known."}, false
	}
	if r.Resource.Account != "" && r.Resource.Account != r.Who.Account {
		return Decision{Explicit: true, Reason: fmt.Sprintf("%s %s belongs to account %s. A principal of account %s may do nothing with it, whatever the policies say.",
			r.Resource.Type, r.Resource.ID, r.Resource.Account, r.Who.Account)}, false
	}
	return Decision{}, true
}

// Decide answers a request by the policies of the set. An unknown action, or one that the resource's type does not
// have, is denied. The answer depends on the request and the set only.
func (s *Set) Decide(r Request) Decision {
	if d, ok := owned(r); !ok {
		return d
	}
	action, ok := s.known.actions[actionUID(r.Action)]
	if !ok || action.AppliesTo == nil {
		return Decision{Reason: fmt.Sprintf("There is no action %q.", r.Action)}
	}
	if !slices.Contains(action.AppliesTo.Resources, cedar.EntityType(r.Resource.Type)) {
		return Decision{Reason: fmt.Sprintf("%s is not an action on a %s.", r.Action, r.Resource.Type)}
	}
	var permits, forbids, broken []string
	for _, sp := range spellings {
		some := ofSpelling{s.policies, sp}
		if some.empty() {
			continue
		}
		verdict, why := cedar.Authorize(some, s.world(r, sp), s.question(r))
		ids := make([]string, len(why.Reasons))
		for i, reason := range why.Reasons {
			ids[i] = string(reason.PolicyID)
		}
		if verdict == cedar.Allow {
			permits = append(permits, ids...)
		} else {
			forbids = append(forbids, ids...)
		}
		for _, e := range why.Errors {
			if s.find(string(e.PolicyID)).compiled.Effect() == cedar.Forbid {
				broken = append(broken, string(e.PolicyID))
			}
		}
	}
	return decision(r, permits, forbids, broken)
}

// decision combines the policies that matched, as Cedar does: a forbid wins over every permit, and without a
// permit the request is denied. Unlike Cedar, a forbid that cannot be evaluated denies too: a mistake in a policy
// must not open access.
func decision(r Request, permits, forbids, broken []string) Decision {
	slices.Sort(permits)
	slices.Sort(forbids)
	slices.Sort(broken)
	switch {
	case len(forbids) > 0:
		return Decision{Explicit: true, Policies: forbids, Reason: fmt.Sprintf("Forbidden by policy %s. A policy that forbids wins over every permit.", list(forbids))}
	case len(broken) > 0:
		return Decision{Explicit: true, Policies: broken, Reason: fmt.Sprintf("Policy %s, which forbids, cannot be evaluated for this request.", list(broken))}
	case len(permits) > 0:
		return Decision{Allowed: true, Policies: permits, Reason: fmt.Sprintf("Permitted by policy %s.", list(permits))}
	}
	return Decision{Reason: "No policy permits it. It would take: " + needed(r)}
}

// needed returns the narrowest policy that would permit a request, as Cedar text.
func needed(r Request) string {
	return fmt.Sprintf("permit(principal == %s, action == %s, resource == %s);",
		principalUID(r.Who.Principal), actionUID(r.Action), resourceUID(r.Resource))
}

// list returns the ids, quoted and separated by commas.
func list(ids []string) string {
	text := ""
	for i, id := range ids {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%q", id)
	}
	return text
}

// find returns the policy with an id of the set.
func (s *Set) find(id string) policy {
	i := slices.IndexFunc(s.policies, func(p policy) bool { return p.id == id })
	return s.policies[i]
}

// ofSpelling is the subset of policies that write a job's owner and model in one way: as an entity, or as its
// name.
type ofSpelling struct {
	policies []policy
	spelling spelling
}

// empty reports whether no policy has the spelling.
func (o ofSpelling) empty() bool {
	return !slices.ContainsFunc(o.policies, func(p policy) bool { return p.spelling == o.spelling })
}

// All yields the policies of the spelling. It implements [cedar.PolicyIterator].
func (o ofSpelling) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, p := range o.policies {
			if p.spelling == o.spelling && !yield(cedar.PolicyID(p.id), p.compiled) {
				return
			}
		}
	}
}

// principalUID, accountUID and resourceUID return the names of entities in Cedar's form, Type::"id".
func principalUID(name string) cedar.EntityUID {
	return cedar.NewEntityUID("Principal", cedar.String(name))
}
func accountUID(id string) cedar.EntityUID { return cedar.NewEntityUID(TypeAccount, cedar.String(id)) }
func resourceUID(r Resource) cedar.EntityUID {
	return cedar.NewEntityUID(cedar.EntityType(r.Type), cedar.String(r.ID))
}

// question returns a request in Cedar's form. Members of the context that the request lacks are "", so policies
// may always read them.
func (s *Set) question(r Request) cedar.Request {
	context := cedar.RecordMap{}
	for name := range s.known.actions[actionUID(r.Action)].AppliesTo.Context {
		if name == "requestTags" {
			context[name] = texts(r.Tags)
		} else {
			context[name] = cedar.String(r.Context[string(name)])
		}
	}
	return cedar.Request{Principal: principalUID(r.Who.Principal), Action: actionUID(r.Action), Resource: resourceUID(r.Resource),
		Context: cedar.NewRecord(context)}
}

// world returns the entities of a request, as the policies of one spelling see them: the principal with its
// account and groups, and the resource with its account and, for a job, its attributes.
func (s *Set) world(r Request, sp spelling) entities {
	account := r.Who.Account // a resource without an account is in each
	groups := make([]cedar.Value, len(r.Who.Groups))
	parents := []cedar.EntityUID{accountUID(account)}
	for i, g := range r.Who.Groups {
		groups[i] = cedar.String(g)
		parents = append(parents, cedar.NewEntityUID("Group", cedar.String(g)))
	}
	who := cedar.Entity{UID: principalUID(r.Who.Principal), Parents: cedar.NewEntityUIDSet(parents...), Attributes: cedar.NewRecord(cedar.RecordMap{
		"name": cedar.String(r.Who.Principal), "account": cedar.String(account), "groups": cedar.NewSet(groups...)})}
	what := cedar.Entity{UID: resourceUID(r.Resource)}
	attributes := cedar.RecordMap{"account": cedar.String(account)}
	if r.Resource.Type != TypeAccount {
		what.Parents = cedar.NewEntityUIDSet(accountUID(account))
	}
	if r.Resource.Type == TypeJob {
		j := r.Resource.Job
		what.Tags = texts(j.Tags)
		attributes["tags"], attributes["name"] = what.Tags, cedar.String(j.Name)
		attributes["owner"], attributes["model"] = principalUID(j.Owner), resourceUID(Resource{Type: TypeModel, ID: j.Model})
		if sp.ownerName {
			attributes["owner"] = cedar.String(j.Owner)
		}
		if sp.modelName {
			attributes["model"] = cedar.String(j.Model)
		}
	}
	what.Attributes = cedar.NewRecord(attributes)
	return entities{who: who, what: what, actions: s.known}
}

// texts returns a record of strings.
func texts(m map[string]string) cedar.Record {
	r := make(cedar.RecordMap, len(m))
	for k, v := range m {
		r[cedar.String(k)] = cedar.String(v)
	}
	return cedar.NewRecord(r)
}

// entities are the principal, the resource, the actions, and a job's model, which lies in the account like every
// model. All other entities have neither attributes nor parents.
type entities struct {
	who, what cedar.Entity
	actions   *vocabulary
}

// Get returns an entity. It implements [cedar.EntityGetter].
func (e entities) Get(uid cedar.EntityUID) (cedar.Entity, bool) {
	switch {
	case uid == e.who.UID:
		return e.who, true
	case uid == e.what.UID:
		return e.what, true
	case uid.Type == TypeModel:
		account, _ := e.who.Attributes.Get("account")
		return cedar.Entity{UID: uid, Parents: cedar.NewEntityUIDSet(accountUID(string(account.(types.String)))),
			Attributes: cedar.NewRecord(cedar.RecordMap{"account": account})}, true
	}
	a, ok := e.actions.actions[uid]
	return a.Entity, ok
}
