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

// decoder reads a YAML document into a Config. It walks the syntax tree itself, so that every
// value keeps its line number, texts keep their spelling (an account 000000000000 is not an
// octal number), and several problems are reported at once.
type decoder struct {
	origin   Origin            // of the document; Line is set per value
	origins  map[string]Origin // result: origin by path
	problems []Problem
	anchors  map[string]ast.Node // by name, for YAML aliases
}

// parse parses one YAML document. It returns nil if the document is empty.
func (d *decoder) parse(text []byte) ast.Node {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		p := Problem{Origin: d.origin, Reason: err.Error(), Remedy: yamlRemedy(err.Error())}
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

// yamlRemedy says how to correct a syntax error. The parser's message names the rule, not the usual cause.
func yamlRemedy(message string) string {
	switch {
	case strings.Contains(message, "'\t'"), strings.Contains(message, `'\t'`), strings.Contains(message, "tab character"):
		return "fix the YAML at that line: indent with spaces, not with tabs"
	case strings.Contains(message, "already defined"):
		return "fix the YAML at that line: keep one of the two"
	}
	return "fix the YAML at that line: compare its indentation with the lines above. Keys of one level, and dashes of one list, begin in the same column; brackets and quotes are closed"
}

// at returns the origin of a value on a line of the document.
func (d *decoder) at(line int) Origin {
	o := d.origin
	if o.Source == "file" {
		o.Line = line
	}
	return o
}

// problem adds a problem at the line of a node.
func (d *decoder) problem(node ast.Node, reason, remedy string) {
	d.problems = append(d.problems, Problem{Origin: d.at(node.GetToken().Position.Line), Reason: reason, Remedy: remedy})
}

// into stores node in v, the setting at path.
func (d *decoder) into(v reflect.Value, node ast.Node, path string) {
	node = d.resolve(node)
	if node == nil || node.Type() == ast.NullType {
		return // "key:" without a value keeps the default
	}
	switch v.Kind() {
	case reflect.Struct:
		d.intoStruct(v, node, path)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.into(v.Elem(), node, path)
	case reflect.Slice:
		d.intoList(v, node, path)
	case reflect.Map:
		d.intoMap(v, node, path)
	default:
		if v.Type() == reflect.TypeFor[JSON]() {
			d.intoJSON(v, node, path)
			return
		}
		d.intoScalar(v, node, path)
	}
}

// intoStruct fills the fields for which the mapping has keys. An unknown key is reported, and
// the other keys are still read.
func (d *decoder) intoStruct(v reflect.Value, node ast.Node, path string) {
	entries, ok := entriesOf(node)
	if !ok {
		d.problem(node, fmt.Sprintf("%s is not a mapping", name(path)), "write its keys below it, indented, each as key: value")
		return
	}
	// Keys are compared exactly; didYouMean suggests near ones.
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

// intoList replaces the list. Lists from several sources are not merged.
func (d *decoder) intoList(v reflect.Value, node ast.Node, path string) {
	seq, ok := node.(*ast.SequenceNode)
	if !ok {
		d.problem(node, fmt.Sprintf("%s is not a list", name(path)), "write it as [a, b], or as lines that begin with a dash")
		return
	}
	// A new list: the defaults are replaced as a whole.
	list := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, n := range seq.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.origins[at] = d.at(n.GetToken().Position.Line)
		d.into(list.Index(i), n, at)
	}
	v.Set(list)
}

// intoScalar parses a single value from its text in the document.
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

// resolve follows anchors, aliases and tags to the actual node.
func (d *decoder) resolve(node ast.Node) ast.Node {
	switch n := node.(type) {
	case *ast.AnchorNode:
		d.anchors[n.Name.GetToken().Value] = n.Value
		return d.resolve(n.Value)
	case *ast.AliasNode:
		return d.anchors[n.Value.GetToken().Value] // the parser rejects unknown aliases and cycles
	case *ast.TagNode:
		return d.resolve(n.Value)
	}
	return node
}

// entriesOf returns the keys and values of a mapping; false if node is not a mapping. The
// parser has two node types for mappings.
func entriesOf(node ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// keysOf maps the YAML keys of a struct to field indexes.
func keysOf(t reflect.Type) map[string]int {
	keys := map[string]int{}
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("yaml"); key != "" && key != "-" {
			keys[key] = i
		}
	}
	return keys
}

// keyNames returns the YAML keys of a struct in field order, for messages.
func keyNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("yaml"); key != "" && key != "-" {
			names = append(names, key)
		}
	}
	return names
}

// join returns the path of key below path.
func join(path, key string) string { return strings.TrimPrefix(path+"."+key, ".") }

// name returns path for the beginning of a sentence.
func name(path string) string {
	if path == "" {
		return "the document"
	}
	return path
}

// within returns path for the end of a sentence: " in PATH", or "" at the top level.
func within(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}
