package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// decoder puts a YAML document into a Config. It walks the syntax tree itself, so that every value keeps its line, a text keeps
// its spelling (an account of 000000000000 is no octal number), and several problems are told at once.
type decoder struct {
	origin   Origin // of the document; Line is set for each value
	origins  map[string]Origin
	problems []Problem
	anchors  map[string]ast.Node
}

// parse reads one YAML document; an empty one gives nil.
func (d *decoder) parse(text []byte) ast.Node {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		p := Problem{Origin: d.origin, Reason: err.Error(), Remedy: "mend the YAML at that line"}
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) {
			p.Reason, p.Origin = syntax.Message, d.at(syntax.Token.Position.Line)
		}
		d.problems = append(d.problems, p)
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if body != nil {
			d.problem(doc.Body, "a second document", "keep all settings in one document; remove the --- line")
			return nil
		}
		body = doc.Body
	}
	return body
}

// at is the origin of what stands on a line of the document.
func (d *decoder) at(line int) Origin {
	o := d.origin
	if o.Source == "file" {
		o.Line = line
	}
	return o
}

// problem notes what is wrong at a node.
func (d *decoder) problem(node ast.Node, reason, remedy string) {
	d.problems = append(d.problems, Problem{Origin: d.at(node.GetToken().Position.Line), Reason: reason, Remedy: remedy})
}

// into puts node into v, which is the setting at path.
func (d *decoder) into(v reflect.Value, node ast.Node, path string) {
	node = d.resolve(node)
	if node == nil || node.Type() == ast.NullType {
		return // "key:" with nothing after it leaves the default
	}
	switch v.Kind() {
	case reflect.Struct:
		d.intoStruct(v, node, path)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.into(v.Elem(), node, path)
	case reflect.Slice:
		d.intoList(v, node, path)
	default:
		d.intoScalar(v, node, path)
	}
}

// intoStruct fills the fields that the mapping has keys for. A key that no field has is a problem, and the others are read all the same.
func (d *decoder) intoStruct(v reflect.Value, node ast.Node, path string) {
	entries, ok := entriesOf(node)
	if !ok {
		d.problem(node, fmt.Sprintf("%s is no mapping", name(path)), "write its keys below it, indented, each as key: value")
		return
	}
	known := keysOf(v.Type())
	for _, e := range entries {
		key := e.Key.GetToken().Value
		i, ok := known[key]
		if !ok {
			d.problem(e.Key, fmt.Sprintf("unknown key %q%s", key, within(path)), didYouMean(key, keyNames(v.Type())))
			continue
		}
		at := join(path, key)
		d.origins[at] = d.at(e.Key.GetToken().Position.Line)
		d.into(v.Field(i), e.Value, at)
	}
}

// intoList replaces the list by the entries of the document; lists of several sources are never joined.
func (d *decoder) intoList(v reflect.Value, node ast.Node, path string) {
	seq, ok := node.(*ast.SequenceNode)
	if !ok {
		d.problem(node, fmt.Sprintf("%s is no list", name(path)), "write it as [a, b], or as lines that begin with a dash")
		return
	}
	list := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, n := range seq.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.origins[at] = d.at(n.GetToken().Position.Line)
		d.into(list.Index(i), n, at)
	}
	v.Set(list)
}

// intoScalar reads one value from its spelling in the document.
func (d *decoder) intoScalar(v reflect.Value, node ast.Node, path string) {
	var text string
	switch n := node.(type) {
	case *ast.LiteralNode:
		text = n.Value.Value
	case ast.ScalarNode:
		text = n.GetToken().Value
	default:
		d.problem(node, fmt.Sprintf("%s takes one value", name(path)), "write it as key: value")
		return
	}
	if err := setScalar(v, text); err != nil {
		d.problem(node, fmt.Sprintf("%s: %v", name(path), err), "correct the value, or remove the key to have the default")
	}
}

// resolve follows anchors, aliases and tags to the node that they stand for.
func (d *decoder) resolve(node ast.Node) ast.Node {
	switch n := node.(type) {
	case *ast.AnchorNode:
		d.anchors[n.Name.GetToken().Value] = n.Value
		return d.resolve(n.Value)
	case *ast.AliasNode:
		return d.anchors[n.Value.GetToken().Value] // the parser has refused an unknown one, and nothing refers to itself
	case *ast.TagNode:
		return d.resolve(n.Value)
	}
	return node
}

// entriesOf are the keys and values of a mapping; false when the node is none. The parser has two forms of it.
func entriesOf(node ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// keysOf maps the keys of a struct to its fields.
func keysOf(t reflect.Type) map[string]int {
	keys := map[string]int{}
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("yaml"); key != "" && key != "-" {
			keys[key] = i
		}
	}
	return keys
}

// keyNames are the keys of a struct in its own order, for telling them to people.
func keyNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("yaml"); key != "" && key != "-" {
			names = append(names, key)
		}
	}
	return names
}

// join is the path of a key below a path.
func join(path, key string) string { return strings.TrimPrefix(path+"."+key, ".") }

// name is a path as a sentence begins with it.
func name(path string) string {
	if path == "" {
		return "the document"
	}
	return path
}

// within is a path as a sentence ends with it.
func within(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}
