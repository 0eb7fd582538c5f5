package authz

import (
	"context"
	"fmt"
	"slices"

	"github.com/cedar-policy/cedar-go"
	cedarast "github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// Match says how well a policy fits a request.
type Match struct {
	Policy  string   `json:"policy"`
	Line    int      `json:"line"` // where the policy begins
	Forbids bool     `json:"forbids"`
	Lacks   []string `json:"lacks"` // what of it does not fit; empty: the policy decides on this request
}

// Explain returns for each policy, in the order of the file, which of its parts do not fit a request. It returns
// nil for an unknown action.
func (s *Set) Explain(r Request) []Match {
	var all []Match
	if _, ok := s.known.actions[actionUID(r.Action)]; !ok {
		return nil
	}
	for _, p := range s.policies {
		m := Match{Policy: p.id, Line: p.line, Forbids: p.compiled.Effect() == cedar.Forbid, Lacks: []string{}}
		tree := (*ast.Policy)(p.compiled.AST())
		alone := func(what string, part ast.Policy) {
			part.Effect = ast.EffectPermit
			one := ofSpelling{[]policy{{id: "part", spelling: p.spelling, compiled: cedar.NewPolicyFromAST((*cedarast.Policy)(&part))}}, p.spelling}
			switch verdict, why := cedar.Authorize(one, s.world(r, p.spelling), s.question(r)); {
			case len(why.Errors) > 0:
				m.Lacks = append(m.Lacks, what+" (it cannot be evaluated)")
			case verdict == cedar.Deny:
				m.Lacks = append(m.Lacks, what)
			}
		}
		any := ast.Policy{Principal: ast.ScopeTypeAll{}, Action: ast.ScopeTypeAll{}, Resource: ast.ScopeTypeAll{}}
		part := any
		part.Principal = tree.Principal
		alone("the principal", part)
		part = any
		part.Action = tree.Action
		alone("the action", part)
		part = any
		part.Resource = tree.Resource
		alone("the resource", part)
		if len(m.Lacks) == 0 { // else a condition may ask for what another kind of resource has
			for i := range tree.Conditions {
				part = any
				part.Conditions = tree.Conditions[i : i+1]
				what := "its condition"
				if at, ok := p.text.condition(i); ok {
					what = fmt.Sprintf("its condition in line %d", at.line)
				}
				alone(what, part)
			}
		}
		all = append(all, m)
	}
	return all
}

// Near are the policies that would permit a request but for few of their parts, the closest first.
func Near(all []Match, most int) []Match {
	var near []Match
	for _, m := range all {
		if !m.Forbids && len(m.Lacks) > 0 && !slices.Contains(m.Lacks, "the action") {
			near = append(near, m)
		}
	}
	slices.SortStableFunc(near, func(a, b Match) int { return len(a.Lacks) - len(b.Lacks) })
	return near[:min(len(near), most)]
}

// Explain says of each policy that holds how it fits a request.
func (p *Policies) Explain(_ context.Context, r Request) []Match {
	if s := p.state.Load(); s.set != nil {
		return s.set.Explain(r)
	}
	return nil
}

// Types returns the types of resources that an action applies to, in no particular order, or nil for an unknown
// action.
func Types(action string) []string {
	a, ok := known().actions[actionUID(action)]
	if !ok || a.AppliesTo == nil {
		return nil
	}
	var all []string
	for _, t := range a.AppliesTo.Resources {
		all = append(all, string(t))
	}
	return all
}
