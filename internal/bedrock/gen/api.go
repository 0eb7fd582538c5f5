package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// api is the parsed and checked description, in the form that the templates use.
type api struct {
	Errors     []fault
	Operations []op
	Texts      []textShape
	Enums      []enumShape
	Ranges     []rangeShape
	Lists      []listShape
	Structures []structure

	kinds  map[string]string // kind of each shape: string, enum, integer, list, structure, builtin
	enums  map[string]enumShape
	lists  map[string]listShape
	inputs map[string]bool // shapes that are part of an input; only these get checks
}

// structure is a Go struct to generate.
type structure struct {
	Name, Doc string
	Union     bool
	Members   []member
	Checked   bool   // part of an input, so a check is generated
	Alias     string // not empty: the type is an alias of this structure
}

// op is an operation to generate: a method of Service and a route.
type op struct {
	Name, Doc      string
	Method         string
	Before, Label  string // path before the label, and the label's name
	After          string // path after the label
	Body           bool   // the input has members in a JSON body
	Input, Output  string
	DeclaredErrors []string
}

// understand parses api.yaml. It fails on unknown keys and on references to missing shapes.
func understand(source []byte) (*api, error) {
	var d description
	if err := yaml.UnmarshalWithOptions(source, &d, yaml.Strict(), yaml.UseOrderedMap()); err != nil {
		return nil, err
	}
	a := &api{kinds: map[string]string{"Timestamp": "builtin", "Boolean": "builtin"},
		enums: map[string]enumShape{}, lists: map[string]listShape{}, inputs: map[string]bool{}}
	// Shapes first: operations refer to them.
	if err := a.shapes(d); err != nil {
		return nil, err
	}
	if err := each(d.Errors, func(n string, f fault) { f.Name = n; a.Errors = append(a.Errors, f) }); err != nil {
		return nil, err
	}
	var broken error
	err := each(d.Operations, func(n string, o operation) {
		o.Name = n
		if err := a.operation(o); err != nil && broken == nil {
			broken = fmt.Errorf("operation %s: %w", n, err)
		}
	})
	if err != nil || broken != nil {
		return nil, cmp.Or(err, broken)
	}
	return a, a.connect()
}

// shapes registers every named shape and its kind, before other shapes refer to them.
func (a *api) shapes(d description) error {
	var broken error
	return cmp.Or(
		each(d.Strings, func(n string, s textShape) { s.Name = n; a.kinds[n] = "string"; a.Texts = append(a.Texts, s) }),
		each(d.Enums, func(n string, s enumShape) {
			s.Name = n
			a.kinds[n], a.enums[n], a.Enums = "enum", s, append(a.Enums, s)
		}),
		each(d.Integers, func(n string, s rangeShape) { s.Name = n; a.kinds[n] = "integer"; a.Ranges = append(a.Ranges, s) }),
		each(d.Lists, func(n string, s listShape) {
			s.Name = n
			a.kinds[n], a.lists[n], a.Lists = "list", s, append(a.Lists, s)
		}),
		each(d.Structures, func(n string, s structShape) {
			ms, err := members(s.Members)
			if err != nil && broken == nil {
				broken = fmt.Errorf("structure %s: %w", n, err)
			}
			a.kinds[n] = "structure"
			a.Structures = append(a.Structures, structure{Name: n, Doc: s.Doc, Union: s.Union, Members: ms})
		}),
		broken)
}

// operation registers an operation, and structures for its input and output.
func (a *api) operation(o operation) error {
	method, path, ok := strings.Cut(o.Route, " ")
	if !ok {
		return fmt.Errorf("%q is no route", o.Route)
	}
	in, err := members(o.Input)
	if err != nil {
		return err
	}
	p := op{Name: o.Name, Doc: o.Doc, Method: method, Before: path, Input: o.Name + "Input", Output: o.Name + "Output"}
	if before, rest, ok := strings.Cut(path, "{"); ok {
		p.Before = before
		p.Label, p.After, _ = strings.Cut(rest, "}")
	}
	// A POST whose only member is the path label has no body.
	p.Body = method == "POST" && slices.ContainsFunc(in, func(m member) bool { return m.Wire != p.Label })
	// Every operation declares these four (Bedrock: service model).
	p.DeclaredErrors = append([]string{"AccessDeniedException", "InternalServerException", "ThrottlingException", "ValidationException"}, o.Errors...)
	slices.Sort(p.DeclaredErrors)
	a.Operations = append(a.Operations, p)
	a.Structures = append(a.Structures, structure{Name: p.Input, Doc: "is the input of " + o.Name + ".", Members: in, Checked: true})
	out := structure{Name: p.Output, Doc: "is the output of " + o.Name + "."}
	// The output is the name of a structure, or a map of members.
	switch v := o.Output.(type) {
	case string:
		out.Alias = v
	case yaml.MapSlice:
		out.Members, err = members(v)
	case map[string]any: // {} is not read as an ordered map
	default:
		err = fmt.Errorf("output is a %T", v)
	}
	a.Structures = append(a.Structures, out)
	return err
}

// connect checks that every referenced shape exists, and marks the shapes that are part of an
// input.
func (a *api) connect() error {
	for _, s := range a.Structures {
		for _, m := range s.Members {
			if a.kinds[m.Shape] == "" {
				return fmt.Errorf("%s.%s: no shape %q", s.Name, m.Wire, m.Shape)
			}
		}
	}
	for _, l := range a.Lists {
		if a.kinds[l.Of] == "" {
			return fmt.Errorf("list %s: no shape %q", l.Name, l.Of)
		}
	}
	for _, s := range a.Structures {
		if s.Checked {
			a.reach(s)
		}
	}
	for i, s := range a.Structures {
		a.Structures[i].Checked = s.Checked || a.inputs[s.Name]
	}
	return nil
}

// reach marks all shapes below s. The recursion ends because no shape in the description
// contains itself.
func (a *api) reach(s structure) {
	for _, m := range s.Members {
		a.inputs[m.Shape] = true
		// A list is checked together with its elements.
		shape := m.Shape
		if l, ok := a.lists[shape]; ok {
			shape = l.Of
			a.inputs[shape] = true
		}
		if i := slices.IndexFunc(a.Structures, func(t structure) bool { return t.Name == shape }); i >= 0 {
			a.reach(a.Structures[i])
		}
	}
}
