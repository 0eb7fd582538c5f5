package main

import (
	"bytes"
	"fmt"
	"go/format"
	"strconv"
	"strings"
	"text/template"
)

// generate renders all files and returns their contents by file name.
func generate(source []byte) (map[string][]byte, error) {
	a, err := understand(source)
	if err != nil {
		return nil, fmt.Errorf("api.yaml: %w", err)
	}
	t, err := template.New("").Funcs(a.funcs()).Parse(templates)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, name := range []string{"types", "checks", "rules", "service", "errors"} {
		var b bytes.Buffer
		if err := t.ExecuteTemplate(&b, name, a); err != nil {
			return nil, err
		}
		// gofmt also finds errors of the templates.
		content, err := format.Source(b.Bytes())
		if err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", name, err, b.Bytes())
		}
		files[name+"_gen.go"] = content
	}
	return files, nil
}

// funcs returns the functions that the templates call.
func (a *api) funcs() template.FuncMap {
	return template.FuncMap{
		"goName": goName, "goLocal": goLocal, "quote": quote, "type": a.goType, "tag": a.tag, "check": a.check,
		"checked": func(shape string) bool { return a.inputs[shape] },
		"code":    func(s string) string { return "Code" + strings.TrimSuffix(s, "Exception") },
		"value":   goValue,
	}
}

// quote returns s as a Go string literal. Raw strings are preferred: patterns are easier to
// read in them.
func quote(s string) string {
	if strconv.CanBackquote(s) {
		return "`" + s + "`"
	}
	return strconv.Quote(s)
}

// goValue converts an enum value to the end of a constant's name: FINE_TUNING becomes
// FineTuning.
func goValue(s string) string {
	if s != strings.ToUpper(s) || s == "JSONL" {
		return s
	}
	var b strings.Builder
	for w := range strings.SplitSeq(strings.ToLower(s), "_") {
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}

// goType returns the Go type of a field. Structures are pointers, because most are optional;
// list elements are values.
func (a *api) goType(shape string) string {
	switch a.kinds[shape] {
	case "string":
		return "string"
	case "enum":
		if e := a.enums[shape]; e.Go != "" {
			return e.Go
		}
	case "integer":
		if shape == "Count" {
			return "int64"
		}
		return "int"
	case "list":
		return "[]" + strings.TrimPrefix(a.goType(a.lists[shape].Of), "*")
	case "structure":
		return "*" + goName(shape)
	case "builtin":
		return map[string]string{"Timestamp": "Timestamp", "Boolean": "bool"}[shape]
	}
	return goName(shape)
}

// tag returns the field's JSON tag. Optional members are omitted when zero (Bedrock: absent,
// not null).
func (a *api) tag(m member) string {
	if m.Required || m.Always {
		return "`json:\"" + m.Wire + "\"`"
	}
	return "`json:\"" + m.Wire + ",omitzero\"`"
}

// check returns the Go expression that reads and checks member m of object o.
func (a *api) check(m member) string {
	// The arguments that all readers of checker share.
	at := fmt.Sprintf("o, %q, %t", m.Wire, m.Required)
	rule := "c.rules." + goLocal(m.Shape)
	switch a.kinds[m.Shape] {
	case "string":
		return fmt.Sprintf("c.text(%s, %s)", at, rule)
	case "enum":
		return fmt.Sprintf("enum[%s](c, %s, %s)", a.goType(m.Shape), at, rule)
	case "integer":
		return fmt.Sprintf("c.number(%s, %s)", at, rule)
	case "structure":
		return fmt.Sprintf("structure(c, %s, c.%s)", at, goLocal(m.Shape))
	case "list":
		return fmt.Sprintf("list(c, %s, %s, %s)", at, rule, a.element(a.lists[m.Shape].Of))
	}
	return fmt.Sprintf("c.timestamp(%s)", at)
}

// element returns the Go expression of the function that reads and checks one list element.
func (a *api) element(shape string) string {
	if a.kinds[shape] == "structure" {
		return "items(c, c." + goLocal(shape) + ")"
	}
	return "c.texts(c.rules." + goLocal(shape) + ")"
}
