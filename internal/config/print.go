package config

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/batholith/batholith/internal/plain"
)

// WriteSample writes a commented settings file: every setting with its default, and one entry
// of each list as a comment.
func WriteSample(w io.Writer) error {
	docs := fieldDocs()
	p := printer{
		above: func(path string) string { return docs[indexes.ReplaceAllString(path, "[]")] },
		muted: func(path string) bool {
			return strings.ContainsAny(path, "[") || path == "policy" || strings.HasPrefix(path, "tls") || strings.HasPrefix(path, "s3.tls")
		},
		value: formatValue,
	}
	p.out.WriteString("# Settings of Batholith. Every line that is not a comment shows a default. Remove the lines that you do not change.\n" +
		"# An environment variable (s3.listen: BATHOLITH_S3_LISTEN) overrides the file, and a flag (--s3-listen) overrides both.\n")
	p.fields(reflect.ValueOf(example()).Elem(), "", "")
	_, err := w.Write(p.out.Bytes())
	return err
}

// indexes matches the index of a list entry in a path.
var indexes = regexp.MustCompile(`\[\d+\]`)

// Write writes the effective settings as YAML, each with its origin. Secrets are hidden.
func (c *Config) Write(w io.Writer) error {
	p := printer{
		after: func(path string) string { return plain.Line(c.Origin(path).String()) },
		value: redacted,
	}
	p.fields(reflect.ValueOf(c).Elem(), "", "")
	_, err := w.Write(p.out.Bytes())
	return err
}

// Value is a setting with its origin, for JSON output.
type Value struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Origin string `json:"origin"`
}

// Values returns the effective settings, including entries of lists. Secrets are hidden.
func (c *Config) Values() []Value {
	var all []Value
	p := printer{value: redacted, leaf: func(path, text string) {
		all = append(all, Value{Key: path, Value: text, Origin: c.Origin(path).String()})
	}}
	p.fields(reflect.ValueOf(c).Elem(), "", "")
	return all
}

// printer writes a Config as YAML. Each of its functions may be nil.
type printer struct {
	out   bytes.Buffer
	above func(path string) string                            // comment on the line above
	after func(path string) string                            // comment at the end of the line
	muted func(path string) bool                              // comment out the line?
	value func(f reflect.StructField, v reflect.Value) string // text of a scalar
	leaf  func(path, text string)                             // called for each scalar
}

// fields writes the fields of a struct. In a list entry, the first field gets the dash.
func (p *printer) fields(v reflect.Value, path, indent string) {
	first := true
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key := f.Tag.Get("yaml")
		if key == "" || key == "-" || v.Field(i).Kind() == reflect.Pointer && v.Field(i).IsNil() {
			continue
		}
		// The first field of a list entry is written on the line of the dash.
		lead := indent
		if first && strings.HasSuffix(path, "]") {
			lead = indent[:len(indent)-2] + "- "
		}
		p.field(f, v.Field(i), join(path, key), key, lead, indent)
		first = false
	}
}

// field writes one key. lead is the beginning of its line, indent that of lines below it.
func (p *printer) field(f reflect.StructField, v reflect.Value, path, key, lead, indent string) {
	entries := v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct
	switch {
	case v.Kind() == reflect.Pointer:
		if p.muted != nil && p.muted(path) { // instead of what stands above it, so not both are examples to uncomment
			lead, indent = indent+"# ", indent+"# "
		}
		p.field(f, v.Elem(), path, key, lead, indent)
	case v.Kind() == reflect.Struct:
		p.line(path, indent, lead+key+":", false)
		p.fields(v, path, indent+"  ")
	case entries && v.Len() > 0:
		p.line(path+"[0]", indent, lead+key+":", false)
		for i := range v.Len() {
			p.fields(v.Index(i), fmt.Sprintf("%s[%d]", path, i), indent+"    ")
		}
	default:
		text := p.value(f, v)
		if p.leaf != nil {
			p.leaf(path, text)
		}
		p.line(path, indent, lead+key+": "+quoted(v, text), true)
	}
}

// line writes a line with its comments. Only lines with a value show an origin.
func (p *printer) line(path, indent, text string, value bool) {
	mute := "" // "# " in front of lines that are only examples
	if p.muted != nil && p.muted(path) {
		mute = "# "
	}
	if p.above != nil {
		if doc := p.above(strings.TrimSuffix(path, "[0]")); doc != "" {
			if indent == "" {
				p.out.WriteByte('\n')
			}
			if indent == "" {
				fmt.Fprintf(&p.out, "\n# %s\n", doc)
			} else {
				fmt.Fprintf(&p.out, "%s%s# %s\n", mute, indent, doc)
			}
		}
	}
	if p.after != nil && value {
		text = fmt.Sprintf("%-48s # %s", text, p.after(path))
	}
	p.out.WriteString(mute + text + "\n")
}

// formatValue formats a scalar or a list of words.
func formatValue(_ reflect.StructField, v reflect.Value) string {
	if words, ok := v.Interface().([]string); ok {
		texts := make([]string, len(words))
		for i, w := range words {
			texts[i] = quoteWord(w)
		}
		return "[" + strings.Join(texts, ", ") + "]"
	}
	switch v.Kind() {
	case reflect.Slice:
		return "[]"
	case reflect.Map:
		return formatMap(v, false)
	}
	return formatScalar(v)
}

// redacted is formatValue with secrets hidden, also in URLs.
func redacted(f reflect.StructField, v reflect.Value) string {
	switch f.Tag.Get("secret") {
	case "":
	case "assignments":
		v = reflect.ValueOf(hideValues(v.Interface().([]string)))
	case "values":
		return formatMap(v, true)
	default:
		if v.Len() > 0 {
			return plain.Hidden
		}
	}
	return plain.Redact(formatValue(f, v))
}

// quoted returns the text of v as YAML.
func quoted(v reflect.Value, text string) string {
	switch v.Interface().(type) {
	case time.Duration, JSON:
		return text
	}
	if v.Kind() != reflect.String {
		return text
	}
	return quoteWord(text)
}

// unquoted matches texts that YAML reads as a string without quotes.
var unquoted = regexp.MustCompile(`^[A-Za-z./(][A-Za-z0-9_./()+@-]*(:[A-Za-z0-9_./()+@-]+)*$`)

// quoteWord quotes a text if YAML might read it as another type. It may quote more than
// necessary.
func quoteWord(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on":
		return strconv.Quote(s)
	}
	if unquoted.MatchString(s) || hostPort.MatchString(s) {
		return s
	}
	return strconv.Quote(s)
}

// hostPort matches 127.0.0.1:4600, which needs no quotes although it begins with a digit.
var hostPort = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+:[0-9]+$`)
