package bedrock

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
)

// checker reads the members of one request and collects all constraint violations. The
// generated methods read one member after the other, in the order of api.yaml, and do not stop
// at the first violation. Their results are used only if there is none.
type checker struct {
	rules *rules
	wrong []violation
}

// violation is one broken constraint, as the error message shows it.
type violation struct {
	path, value, constraint string
	wrongType               bool // the JSON type of the value is wrong
}

// object is a JSON object in the request, or the path labels and query parameters of the
// request.
type object struct {
	path   string // prefix of member names in messages: empty, or ends in a dot
	values map[string]any
	plain  bool // all values are strings from the URL, also numbers and times
}

// get returns a member. An explicit null counts as absent.
func (c *checker) get(o object, name string, required bool) (v any, ok bool) {
	v = o.values[name]
	if v == nil && required {
		c.add(o.path+name, nil, "Member must not be null")
	}
	return v, v != nil
}

// add records the constraints that value v at path breaks.
func (c *checker) add(path string, v any, constraints ...string) {
	for _, s := range constraints {
		c.wrong = append(c.wrong, violation{path: path, value: show(v), constraint: s})
	}
}

// mistyped records that value v at path has the wrong JSON type.
func (c *checker) mistyped(path string, v any, want string) {
	c.wrong = append(c.wrong, violation{path: path, value: show(v), constraint: "Member must be " + want, wrongType: true})
}

// text reads a string member. It returns "" if the member is absent.
func (c *checker) text(o object, name string, required bool, r textRule) string {
	v, ok := c.get(o, name, required)
	if !ok {
		return ""
	}
	return c.textAt(v, o.path+name, r)
}

// textAt checks the value v, which was read at path, and returns it as a string.
func (c *checker) textAt(v any, path string, r textRule) string {
	s, ok := v.(string)
	if !ok {
		c.mistyped(path, v, "a string")
		return ""
	}
	c.add(path, s, r.broken(s)...)
	return s
}

// texts returns a function that reads one element of a list of strings.
func (c *checker) texts(r textRule) func(v any, path string) string {
	return func(v any, path string) string { return c.textAt(v, path, r) }
}

// enum reads a string member that must be one of the rule's values.
func enum[T ~string](c *checker, o object, name string, required bool, r enumRule) T {
	v, ok := c.get(o, name, required)
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		c.mistyped(o.path+name, v, "a string")
		return ""
	}
	c.add(o.path+name, s, r.broken(s)...)
	return T(s)
}

// number reads an integer member. It returns 0 if the member is absent; no rule allows 0 as a
// value.
func (c *checker) number(o object, name string, required bool, r rangeRule) int {
	v, ok := c.get(o, name, required)
	if !ok {
		return 0
	}
	// In the URL any text is possible; in the body the JSON type must be right.
	n, ok := integer(v, o.plain)
	switch {
	case !ok && o.plain:
		c.add(o.path+name, v, "Member must be an integer")
	case !ok:
		c.mistyped(o.path+name, v, "an integer")
	default:
		c.add(o.path+name, n, r.broken(n, "value")...)
	}
	return n
}

// integer converts v to a 32-bit integer: a JSON number without a fraction or, if plain, a
// string of decimal digits from the URL.
func integer(v any, plain bool) (int, bool) {
	switch v := v.(type) {
	case float64:
		return int(v), v == math.Trunc(v) && math.Abs(v) <= math.MaxInt32
	case string:
		n, err := strconv.ParseInt(v, 10, 32)
		return int(n), plain && err == nil
	}
	return 0, false
}

// timestamp reads a timestamp member. It returns the zero Timestamp if the member is absent.
func (c *checker) timestamp(o object, name string, required bool) Timestamp {
	v, ok := c.get(o, name, required)
	if !ok {
		return Timestamp{}
	}
	t, ok := parseTimestamp(v)
	if !ok {
		c.add(o.path+name, v, "Member must be a timestamp such as 2026-01-02T03:04:05Z")
	}
	return t
}

// structure reads a member that is an object, with its own checks. It returns nil if the member
// is absent.
func structure[T any](c *checker, o object, name string, required bool, check func(object) T) *T {
	v, ok := c.get(o, name, required)
	if !ok {
		return nil
	}
	t := items(c, check)(v, o.path+name)
	return &t
}

// items returns a function that reads one element of a list of objects.
func items[T any](c *checker, check func(object) T) func(v any, path string) T {
	return func(v any, path string) (zero T) {
		members, ok := v.(map[string]any)
		if !ok {
			c.mistyped(path, v, "an object")
			return zero
		}
		return check(object{path: path + ".", values: members})
	}
}

// list reads an array. Elements beyond the rule's maximum are not checked, so the size of the
// error message is bounded.
func list[T any](c *checker, o object, name string, required bool, r rangeRule, element func(v any, path string) T) []T {
	v, ok := c.get(o, name, required)
	if !ok {
		return nil
	}
	values, ok := v.([]any)
	if !ok {
		c.mistyped(o.path+name, v, "a list")
		return nil
	}
	c.add(o.path+name, v, r.length(len(values))...)
	if r.max > 0 && len(values) > r.max {
		values = values[:r.max]
	}
	all := make([]T, 0, len(values))
	for i, v := range values {
		path := fmt.Sprintf("%s%s.%d.member", o.path, name, i+1)
		if v == nil {
			c.add(path, nil, "Member must not be null")
			continue
		}
		all = append(all, element(v, path))
	}
	return all
}

// one checks a union: exactly one member must be set, and its name must be one of known.
func (c *checker) one(o object, known ...string) {
	// set counts members that are not null, recognised those with a known name.
	set, recognised := 0, 0
	for _, v := range o.values {
		if v != nil {
			set++
		}
	}
	for _, name := range known {
		if o.values[name] != nil {
			recognised++
		}
	}
	if set != 1 || recognised != 1 {
		c.add(strings.TrimSuffix(o.path, "."), o.values, "Member must have exactly one of these set: ["+strings.Join(known, ", ")+"]")
	}
}

// maxShown is the longest part of a value that an error message repeats, in bytes.
const maxShown = 256

// show formats a value for a message: in single quotes, or null.
func show(v any) string {
	s, ok := v.(string)
	switch {
	case v == nil:
		return "null"
	case !ok:
		// Deterministic, so that messages are the same each time.
		raw, err := json.Marshal(v, json.Deterministic(true))
		if err != nil {
			return "'?'"
		}
		s = string(raw)
	}
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	return "'" + s + "'"
}

// err returns all violations as one error, or nil. If a value has the wrong JSON type, the code
// is SerializationException (Bedrock: such a body fails before validation); the message lists
// the other violations as well.
func (c *checker) err() error {
	if len(c.wrong) == 0 {
		return nil
	}
	code := CodeValidation
	said := make([]string, len(c.wrong))
	for i, w := range c.wrong {
		if w.wrongType {
			code = CodeSerialization
		}
		said[i] = fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: %s", w.value, w.path, w.constraint)
	}
	noun := "errors"
	if len(said) == 1 {
		noun = "error"
	}
	return refuse(code, "%d validation %s detected: %s", len(said), noun, strings.Join(said, "; "))
}
