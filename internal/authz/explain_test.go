package authz

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAnExplanationNamesWhatOfEachPolicyDoesNotFit(t *testing.T) {
	s := parse(t, `@id("mine") permit(principal, action, resource is Job) when { resource.owner == principal };
@id("red") permit(principal in Group::"red", action in Action::"bedrock:Get*", resource is Job)
when { resource.name like "nightly*" }
unless { resource.tags has secret };
@id("buckets") permit(principal, action == Action::"s3:GetObject", resource) when { context.key like "in/*" };
@id("broken") forbid(principal, action, resource is Job) when { 9223372036854775807 + 1 == 0 };
@id("bob") forbid(principal == Principal::"bob", action, resource);`)
	want := []Match{
		{"mine", 1, false, []string{"its condition in line 1"}},
		{"red", 2, false, []string{"its condition in line 4"}},
		{"buckets", 5, false, []string{"the action"}},
		{"broken", 6, true, []string{"its condition in line 6 (it cannot be evaluated)"}},
		{"bob", 7, true, []string{"the principal"}},
	}
	got := s.Explain(get(alice, job("bob", map[string]string{"secret": "1"})))
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(want[:2], Near(got, 5)); d != "" {
		t.Error(d)
	}
}

// A policy lacks nothing exactly if the decision names it, among those that count.
func TestAnExplanationAgreesWithTheDecision(t *testing.T) {
	for _, text := range []string{`permit(principal in Group::"red", action, resource); forbid(principal, action, resource is Job) when { resource.owner == principal };`,
		`permit(principal, action in Action::"s3:*", resource); permit(principal == Principal::"alice", action, resource is Model);`} {
		s := parse(t, text)
		for action, uses := range resources() {
			for _, r := range uses {
				for _, who := range []Identity{alice, bob} {
					q := Request{Who: who, Action: action, Resource: r}
					d, fits, forbids := s.Decide(q), map[bool]int{}, false
					for _, m := range s.Explain(q) {
						if len(m.Lacks) == 0 {
							fits[m.Forbids]++
							forbids = forbids || m.Forbids
						}
					}
					if d.Allowed != (fits[false] > 0 && !forbids) || d.Explicit != forbids || len(d.Policies) != fits[forbids] {
						t.Errorf("%s on %s: %+v, but %v", action, r.Type, d, fits)
					}
				}
			}
		}
	}
}
