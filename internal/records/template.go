package records

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/batholith/batholith/internal/words"
)

// Template makes a text of a row. It is used by one goroutine.
type Template struct {
	t   *template.Template
	out cappedText
}

// ParseTemplate reads a template of Go's text/template. Its dot is the row: {{.text}}, or {{index . "a b"}} for other names.
func ParseTemplate(text string) (*Template, error) {
	t, err := template.New("template").Option("missingkey=error").Funcs(functions).Parse(text)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "template: "))
	}
	if t.Tree != nil && !slices.ContainsFunc(t.Tree.Root.Nodes, func(n parse.Node) bool { return n.Type() != parse.NodeText }) {
		return nil, errors.New("it names no column, so all rows would have the same prompt")
	}
	return &Template{t: t}, nil
}

// Functions are the names of the functions beside those of text/template, for messages.
var Functions = []string{"json", "trim", "upper", "lower", "replace", "default", "cut", "number"}

// functions are those of templates. index is text/template's, except that a missing column is an error.
var functions = template.FuncMap{
	"index":   index,
	"json":    asJSON,
	"trim":    func(v any) string { return strings.TrimSpace(text(v)) },
	"upper":   func(v any) string { return strings.ToUpper(text(v)) },
	"lower":   func(v any) string { return strings.ToLower(text(v)) },
	"replace": func(old, with string, v any) string { return strings.ReplaceAll(text(v), old, with) },
	"default": func(otherwise string, v any) string {
		if s := text(v); strings.TrimSpace(s) != "" {
			return s
		}
		return otherwise
	},
	"cut": func(characters int, v any) string {
		s := text(v)
		for i := range s {
			if characters--; characters < 0 {
				return s[:i]
			}
		}
		return s
	},
	"number": func(v any) (float64, error) {
		n, err := strconv.ParseFloat(strings.TrimSpace(text(v)), 64)
		if err != nil {
			return 0, fmt.Errorf("%q is not a number", text(v))
		}
		return n, nil
	},
}

// The values of rows, as templates see them. An absent value is false and shows nothing.
type (
	absent string
	object map[string]any
	list   []any
)

// String returns the object as JSON.
func (o object) String() string { return jsonText(o) }

// String returns the list as JSON.
func (l list) String() string { return jsonText(l) }

// MarshalJSON returns null.
func (absent) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// jsonText returns a value as JSON, or its error.
func jsonText(v any) string {
	s, err := asJSON(v)
	if err != nil {
		return err.Error()
	}
	return s
}

// asJSON returns a value as JSON, with <, > and & as they are.
func asJSON(v any) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// text returns a value as a template prints it.
func text(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// index returns an element of a row, an object or a list.
func index(in any, keys ...any) (any, error) {
	for _, key := range keys {
		switch v := in.(type) {
		case object:
			name := text(key)
			found, ok := v[name]
			if !ok {
				return nil, missingKey(name)
			}
			in = found
		case list:
			i, ok := key.(int)
			if !ok || i < 0 || i >= len(v) {
				return nil, fmt.Errorf("the list has %d elements, and no element %v", len(v), key)
			}
			in = v[i]
		default:
			return nil, fmt.Errorf("index: this is no object and no list: %s", text(in))
		}
	}
	return in, nil
}

// missingKey returns the error of text/template for a key that a map does not have.
func missingKey(name string) error { return fmt.Errorf("map has no entry for key %q", name) }

// missing finds the key in such an error.
var missing = regexp.MustCompile(`map has no entry for key ("(?:[^"\\]|\\.)*")`)

// place is text/template's own beginning of an error.
var place = regexp.MustCompile(`^template: template:(\d+):(\d+): executing "template" at `)

// Text returns the text for a row. The errors are of the type *[Error]; the caller adds the place of the row.
func (t *Template) Text(row Row) (string, error) {
	dot := make(object, len(row.Columns))
	for i, name := range row.Columns {
		dot[name] = shown(row.Values[i])
	}
	t.out.Reset()
	err := t.t.Execute(&t.out, dot)
	if err == nil {
		return t.out.String(), nil
	}
	if m := missing.FindStringSubmatch(err.Error()); m != nil {
		name, _ := strconv.Unquote(m[1])
		return "", &Error{Reason: fmt.Sprintf("the template names the column %q, which is not there", name), Remedy: "the columns are: " + named(row.Columns, name)}
	}
	if errors.Is(err, errTextTooLong) {
		return "", &Error{Reason: errTextTooLong.Error()}
	}
	return "", &Error{Reason: "the template fails at " + place.ReplaceAllString(err.Error(), "line $1, column $2: ")}
}

// named lists the columns, those that are like name first, and says how a template names columns with other signs.
func named(columns []string, name string) string {
	list := words.Nearest(name, columns)
	if slices.ContainsFunc(columns, func(s string) bool { return !fieldName.MatchString(s) }) {
		list += ` (a name with other signs than letters, digits and _ is written {{index . "a b"}})`
	}
	return list
}

// fieldName is a name that templates take behind a dot.
var fieldName = regexp.MustCompile(`^[\pL_][\pL\p{Nd}_]*$`)

// shown returns a value of a row for templates.
func shown(v any) any {
	switch v := v.(type) {
	case nil:
		return absent("")
	case Number:
		return json.Number(v)
	case Nested:
		dec := json.NewDecoder(strings.NewReader(string(v)))
		dec.UseNumber()
		var decoded any
		if dec.Decode(&decoded) != nil {
			return string(v)
		}
		return deep(decoded)
	}
	return v
}

// deep replaces objects, lists and nulls below a value.
func deep(v any) any {
	switch v := v.(type) {
	case nil:
		return absent("")
	case map[string]any:
		for k, e := range v {
			v[k] = deep(e)
		}
		return object(v)
	case []any:
		for i, e := range v {
			v[i] = deep(e)
		}
		return list(v)
	}
	return v
}

// errTextTooLong is the error of a cappedText.
var errTextTooLong = fmt.Errorf("the text of the template has more than %d bytes", MaxRow)

// cappedText takes at most MaxRow bytes.
type cappedText struct{ strings.Builder }

// Write implements io.Writer.
func (c *cappedText) Write(p []byte) (int, error) {
	if c.Len()+len(p) > MaxRow {
		return 0, errTextTooLong
	}
	return c.Builder.Write(p)
}
