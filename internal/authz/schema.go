package authz

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	schemaast "github.com/cedar-policy/cedar-go/x/exp/schema/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"

	"github.com/batholith/batholith/internal/words"
)

//go:embed schema.cedarschema
var schemaText []byte

// spelling is how a policy speaks of a job's owner and model: as entities, resource.owner == principal, or by their names,
// resource.owner == "alice". A policy keeps to one spelling of each.
type spelling struct{ ownerName, modelName bool }

// spellings are tried in this order; the faults of a policy that fits none are those of the first.
var spellings = []spelling{{}, {modelName: true}, {ownerName: true}, {ownerName: true, modelName: true}}

// schemaFor resolves the schema for policies that name these tags.
func schemaFor(sp spelling, jobTags, requestTags []string) *resolved.Schema {
	var s schema.Schema
	must(s.UnmarshalCedar(schemaText))
	tree := s.AST()
	job := tree.Entities["Job"]
	job.Shape["tags"] = schemaast.Attribute{Type: optional(jobTags)}
	if sp.ownerName {
		job.Shape["owner"] = schemaast.Attribute{Type: schemaast.String()}
	}
	if sp.modelName {
		job.Shape["model"] = schemaast.Attribute{Type: schemaast.String()}
	}
	for _, a := range tree.Actions {
		if a.AppliesTo == nil {
			continue
		}
		if context, ok := a.AppliesTo.Context.(schemaast.RecordType); ok && hasKey(context, "requestTags") {
			context["requestTags"] = schemaast.Attribute{Type: optional(requestTags)}
		}
	}
	out, err := s.Resolve()
	must(err)
	return out
}

// must is for the embedded schema, which a test resolves.
func must(err error) {
	if err != nil {
		panic("the embedded schema: " + err.Error())
	}
}

func hasKey(r schemaast.RecordType, key types.String) bool { _, ok := r[key]; return ok }

// optional is a record of texts, each of which may be absent.
func optional(names []string) schemaast.RecordType {
	r := schemaast.RecordType{}
	for _, n := range names {
		r[types.String(n)] = schemaast.Attribute{Type: schemaast.String(), Optional: true}
	}
	return r
}

// vocabulary is the schema without the tags of any policy: what actions there are, and what each applies to.
type vocabulary struct {
	actions map[cedar.EntityUID]resolved.Action
	names   []string            // of the actions, sorted
	types   []string            // of the entities, sorted
	has     map[string][]string // attribute → the types that have it, sorted
}

// known returns the one vocabulary, which nothing changes.
var known = sync.OnceValue(func() *vocabulary {
	s := schemaFor(spelling{}, nil, nil)
	v := &vocabulary{actions: s.Actions, has: map[string][]string{}}
	for uid := range s.Actions {
		v.names = append(v.names, string(uid.ID))
	}
	for name := range s.Entities {
		v.types = append(v.types, string(name))
	}
	slices.Sort(v.names)
	slices.Sort(v.types)
	for _, name := range v.types {
		for attribute := range s.Entities[cedar.EntityType(name)].Shape {
			v.has[string(attribute)] = append(v.has[string(attribute)], name)
		}
	}
	return v
})

// whoHas is a remedy for an attribute that is not there: in the context, or of an entity.
func (v *vocabulary) whoHas(attribute string, inContext bool) string {
	switch has := v.has[attribute]; {
	case inContext:
		return "name the actions that have it: the schema says which"
	case len(has) == 1:
		return "only a " + has[0] + " has it: say that the resource is " + has[0]
	case len(has) > 1:
		return "these have it: " + strings.Join(has, ", ")
	}
	all := slices.Sorted(maps.Keys(v.has))
	if c := words.Closest(attribute, all); c != "" {
		return fmt.Sprintf("did you mean %q?", c)
	}
	if akin, _ := words.Akin(attribute, all); len(akin) == 1 {
		return fmt.Sprintf("did you mean %q?", akin[0])
	}
	return "known here: " + strings.Join(all, ", ")
}

// noType is the remedy for an entity type that does not exist.
func (v *vocabulary) noType(name string) string {
	remedy := "the types are " + strings.Join(v.types, ", ")
	if c := words.Closest(name, v.types); c != "" {
		return fmt.Sprintf("did you mean %s? ", c) + remedy
	}
	if akin, _ := words.Akin(name, v.types); len(akin) == 1 {
		return fmt.Sprintf("did you mean %s? ", akin[0]) + remedy
	}
	return remedy
}

func actionUID(name string) cedar.EntityUID {
	return cedar.NewEntityUID("Action", cedar.String(name))
}

// closest is the action that a name was probably meant to be, or "".
func (v *vocabulary) closest(name string) string {
	operation := name[strings.LastIndexByte(name, ':')+1:]
	for _, n := range v.names {
		if strings.EqualFold(n, name) || strings.EqualFold(n[strings.IndexByte(n, ':')+1:], operation) {
			return n
		}
	}
	return words.Closest(name, v.names)
}

// NoAction returns the remedy for an action that does not exist: the one that was probably meant, those that share most
// words with it, or the actions of its service, the most similar first.
func NoAction(name string) string {
	v := known()
	akin, all := words.Akin(name, v.names)
	if c := v.closest(name); c != "" && (c == name+"*" || len(akin) != 1 || !all) {
		return fmt.Sprintf("did you mean %q?", c)
	}
	switch {
	case len(akin) == 1:
		return fmt.Sprintf("did you mean %q?", akin[0])
	case len(akin) > 1 && len(akin) <= mostAkin:
		return "did you mean one of " + strings.Join(akin, ", ") + "?"
	}
	service, _, _ := strings.Cut(name, ":")
	var own, services []string
	for _, n := range v.names {
		prefix, _, _ := strings.Cut(n, ":")
		if strings.EqualFold(prefix, service) {
			own = append(own, n)
		}
		services = append(services, prefix+":")
	}
	if len(own) > 0 {
		return "the actions of " + service + " are " + words.Nearest(name, own)
	}
	slices.Sort(services)
	return "actions have AWS's names and begin with one of " + strings.Join(slices.Compact(services), ", ") + ", such as bedrock:GetModelInvocationJob"
}

// mostAkin is how many similar actions are named. More are no help.
const mostAkin = 5

// tagNames are the tags that policies name: resource.tags.NAME, resource.tags["NAME"] or resource.tags has NAME, and the same of
// context.requestTags.
func tagNames(policies []*ast.Policy) (jobTags, requestTags []string) {
	for _, p := range policies {
		for _, c := range p.Conditions {
			ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
				switch of, name := member(n); of {
				case "tags":
					jobTags = append(jobTags, name)
				case "requestTags":
					requestTags = append(requestTags, name)
				}
				return true
			})
		}
	}
	slices.Sort(jobTags)
	slices.Sort(requestTags)
	return slices.Compact(jobTags), slices.Compact(requestTags)
}

// member tells which member of which attribute a node reads or looks for.
func member(n ast.IsNode) (of, name string) {
	var inner ast.StrOpNode
	switch n := n.(type) {
	case ast.NodeTypeAccess:
		inner = n.StrOpNode
	case ast.NodeTypeHas:
		inner = n.StrOpNode
	default:
		return "", ""
	}
	if outer, ok := inner.Arg.(ast.NodeTypeAccess); ok {
		return string(outer.Value), string(inner.Value)
	}
	return "", ""
}

// validators has one validator for each spelling, made when it is first needed.
type validators struct {
	jobTags, requestTags []string
	made                 map[spelling]*validate.Validator
}

func (v *validators) of(sp spelling) *validate.Validator {
	if v.made[sp] == nil {
		v.made[sp] = validate.New(schemaFor(sp, v.jobTags, v.requestTags))
	}
	return v.made[sp]
}
