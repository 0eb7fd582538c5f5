package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/batholith/batholith/internal/plain"
)

// JSON is a JSON object that is written in YAML, as text; "" is none.
type JSON string

// intoJSON stores a mapping as JSON.
func (d *decoder) intoJSON(v reflect.Value, node ast.Node, path string) {
	if _, ok := entriesOf(node); !ok {
		d.problem(node, fmt.Sprintf("%s is not a mapping", name(path)), "write its members below it, indented, or as {a: 1, b: {c: false}}")
		return
	}
	if text := d.json(node, path); text != "{}" {
		v.SetString(text)
	}
}

// json returns a node as JSON. It reports what JSON does not have.
func (d *decoder) json(node ast.Node, path string) string {
	node = d.resolve(node)
	if entries, ok := entriesOf(node); ok {
		var all []string
		for _, e := range entries {
			key := e.Key.GetToken().Value
			all = append(all, quoteJSON(key)+":"+d.json(e.Value, join(path, key)))
		}
		return "{" + strings.Join(all, ",") + "}"
	}
	switch n := node.(type) {
	case nil, *ast.NullNode:
		return "null"
	case *ast.SequenceNode:
		var all []string
		for i, e := range n.Values {
			all = append(all, d.json(e, fmt.Sprintf("%s[%d]", path, i)))
		}
		return "[" + strings.Join(all, ",") + "]"
	case *ast.StringNode:
		return quoteJSON(n.Value)
	case *ast.LiteralNode:
		return quoteJSON(n.Value.Value)
	case *ast.BoolNode:
		return fmt.Sprint(n.Value)
	case *ast.IntegerNode, *ast.FloatNode:
		if text := node.GetToken().Value; json.Valid([]byte(text)) {
			return text
		}
	}
	d.problem(node, fmt.Sprintf("%s: %q has no form in JSON", name(path), node.GetToken().Value), "write a decimal number, or put it in quotes to make it a text")
	return "null"
}

func quoteJSON(s string) string {
	text, _ := json.Marshal(s) // a string has a form
	return string(text)
}

// intoMap stores a mapping from names to texts.
func (d *decoder) intoMap(v reflect.Value, node ast.Node, path string) {
	entries, ok := entriesOf(node)
	if !ok {
		d.problem(node, fmt.Sprintf("%s is not a mapping", name(path)), "write it as {NAME: value}, or its entries below it, indented")
		return
	}
	m := reflect.MakeMap(v.Type())
	for _, e := range entries {
		key := e.Key.GetToken().Value
		at := join(path, key)
		d.origins[at] = d.at(e.Key.GetToken().Position.Line)
		value := reflect.New(v.Type().Elem()).Elem()
		d.into(value, e.Value, at)
		m.SetMapIndex(reflect.ValueOf(key), value)
	}
	if m.Len() > 0 {
		v.Set(m)
	}
}

// formatMap returns a map of texts as YAML, ordered by name; hidden without the values.
func formatMap(v reflect.Value, hidden bool) string {
	m, _ := v.Interface().(map[string]string)
	var all []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		value := m[k]
		if hidden {
			value = plain.Hidden
		}
		all = append(all, quoteWord(k)+": "+quoteWord(value))
	}
	return "{" + strings.Join(all, ", ") + "}"
}
