package authz

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// The validator's errors that have a better place than the whole condition.
var (
	unknownAction    = regexp.MustCompile("^unrecognized action `Action::\"(.*)\"`$")
	unknownType      = regexp.MustCompile("^unrecognized entity type `(.*)`$")
	unknownAttribute = regexp.MustCompile("^attribute `(?:[^`]*\\.)?([^`.]*)` (on|in)")
	unguarded        = regexp.MustCompile("safety of access to optional attribute `(?:[^`]*\\.)?([^`.]*)`")
)

const (
	neverApplies   = "unable to find an applicable action"
	hasNoAttribute = "attribute"
)

// tell turns the validator's errors about a policy into problems. They have no place, so that it is found by the name that each is about.
func (p *parsing) tell(v *validators, s statement, tree *ast.Policy, joined error) {
	errs := each(joined)
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) }) // the validator goes over maps
	said := map[string]bool{}
	named := slices.ContainsFunc(errs, func(e error) bool { return strings.HasPrefix(e.Error(), "unrecognized") })
	for _, err := range errs {
		what := err.Error()
		if named && strings.HasPrefix(what, neverApplies) {
			continue // because of the unknown name
		}
		// An attribute that one kind of resource lacks is usually lacked by several, and is told once.
		topic := what
		if m := unknownAttribute.FindStringSubmatch(what); m != nil {
			topic = hasNoAttribute + m[1] + m[2]
		}
		if said[topic] {
			continue
		}
		said[topic] = true
		p.tellOne(v, s, tree, err)
	}
}

// tellOne finds the place of an error, and a remedy.
func (p *parsing) tellOne(v *validators, s statement, tree *ast.Policy, err error) {
	what, remedy := err.Error(), ""
	var at token
	var found bool
	if m := unknownAction.FindStringSubmatch(what); m != nil {
		at, found = s.find(m[1])
		what, remedy = fmt.Sprintf("there is no action %q", m[1]), NoAction(m[1])
	} else if m := unknownType.FindStringSubmatch(what); m != nil {
		first, _, _ := strings.Cut(m[1], "::")
		at, found = s.find(first)
		what, remedy = "there is no entity type "+m[1], p.set.known.noType(m[1])
	} else if m := unknownAttribute.FindStringSubmatch(what); m != nil {
		at, found = s.attribute(m[1])
		remedy = p.set.known.whoHas(m[1], m[2] == "in")
	} else if m := unguarded.FindStringSubmatch(what); m != nil {
		at, found = s.attribute(m[1])
		remedy = "it may be absent: ask first whether it is there, with has"
	} else if strings.Contains(what, "safety of access to tag") {
		at, found = s.find("getTag")
		remedy = "the job may not have the tag: ask first whether it is there, with hasTag"
	} else if strings.HasPrefix(what, neverApplies) {
		what, remedy = "the policy can never apply: no action that it names has such a resource", "see in the schema which action has which resource"
	}
	if found {
		p.bad(at.line, at.column, remedy, "%s", what)
		return
	}
	line, column := p.conditionOf(v, s, tree, err)
	p.bad(line, column, remedy, "%s", what)
}

// conditionOf is the place of the condition that has an error, or of the policy.
func (p *parsing) conditionOf(v *validators, s statement, tree *ast.Policy, err error) (line, column int) {
	for i := range tree.Conditions {
		alone := *tree
		alone.Conditions = tree.Conditions[i : i+1]
		for _, e := range each(v.of(spelling{}).Policy("", &alone)) {
			if e == nil || e.Error() != err.Error() {
				continue
			}
			if t, ok := s.condition(i); ok {
				return t.line, t.column
			}
		}
	}
	return s.line, s.column
}
