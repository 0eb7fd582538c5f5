package upstream

import (
	"bytes"
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// patch is a JSON Merge Patch (RFC 7396) for the bodies of a backend's requests: its members
// replace those of the body, objects are merged, and null removes a member.
type patch []patchMember

type patchMember struct {
	name  string
	value jsontext.Value // null: remove
	inner patch          // of value, if it is an object
}

// newPatch parses a patch. "" is none.
func newPatch(text string) (patch, error) {
	if text == "" {
		return nil, nil
	}
	v := jsontext.Value(text)
	if !v.IsValid() || v.Kind() != '{' {
		return nil, errors.New("extra_body should be a JSON object")
	}
	return parsePatch(v), nil
}

// parsePatch parses a valid object.
func parsePatch(v jsontext.Value) (p patch) {
	for name, value := range membersOf(v) {
		m := patchMember{name: name, value: value}
		if value.Kind() == '{' {
			m.inner = parsePatch(value)
		}
		p = append(p, m)
	}
	return p
}

// membersOf iterates over the members of a valid object, in its order.
func membersOf(v jsontext.Value) func(yield func(string, jsontext.Value) bool) {
	return func(yield func(string, jsontext.Value) bool) {
		d := jsontext.NewDecoder(bytes.NewReader(v), lenient)
		if _, err := d.ReadToken(); err != nil {
			return
		}
		for d.PeekKind() == '"' {
			name, err := d.ReadToken()
			if err != nil {
				return
			}
			key := name.String()
			value, err := d.ReadValue()
			if err != nil || !yield(key, value.Clone()) {
				return
			}
		}
	}
}

// apply returns the body with the patch. Members that the patch does not name keep their bytes and
// their order. A body that is no object stays as it is.
func (p patch) apply(body []byte) []byte {
	v := jsontext.Value(bytes.TrimSpace(body))
	if v.Kind() != '{' {
		return body
	}
	out := append(make([]byte, 0, len(body)+256), '{')
	done := make([]bool, len(p))
	for name, value := range membersOf(v) {
		i := p.index(name)
		if i < 0 {
			out = member(out, name, value)
			continue
		}
		if !done[i] { // a name that occurs twice is patched once
			out = p[i].merge(out, value)
		}
		done[i] = true
	}
	for i, m := range p {
		if !done[i] {
			out = m.merge(out, nil)
		}
	}
	return append(out, '}')
}

// index returns the place of a name in the patch; -1: it has none.
func (p patch) index(name string) int {
	for i, m := range p {
		if m.name == name {
			return i
		}
	}
	return -1
}

// merge appends the member with its patched value.
func (m patchMember) merge(out []byte, value jsontext.Value) []byte {
	switch {
	case m.value.Kind() == 'n':
		return out
	case m.value.Kind() != '{':
		return member(out, m.name, m.value)
	case value == nil || value.Kind() != '{':
		value = jsontext.Value("{}")
	}
	return member(out, m.name, m.inner.apply(value))
}

// member appends a member of an object.
func member(out []byte, name string, value []byte) []byte {
	if out[len(out)-1] != '{' {
		out = append(out, ',')
	}
	key, err := json.Marshal(name)
	if err != nil { // it is a name from JSON, so it has valid UTF-8
		return out
	}
	out = append(append(out, key...), ':')
	return append(out, value...)
}
