package dialect

import (
	"strconv"
	"strings"
)

// pointed follows a JSON pointer (RFC 6901) with at least one step. It returns nil if the path
// does not exist.
func pointed(v value, path string) value {
	for _, step := range steps(path) {
		if v.kind() == '[' {
			v = v.element(step)
		} else {
			v = v.member(step)
		}
	}
	return v
}

// steps splits a pointer and unescapes its steps: ~1 is /, ~0 is ~.
func steps(path string) []string {
	// A path without a slash is taken as a single step.
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return []string{path}
	}
	parts := strings.Split(rest, "/")
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(strings.ReplaceAll(p, "~1", "/"), "~0", "~")
	}
	return parts
}

// element returns the element of an array at an index given as text, or nil.
func (v value) element(step string) value {
	n, err := strconv.Atoi(step)
	if err != nil {
		return nil
	}
	for i, e := range v.elements() {
		if i == n {
			return e
		}
	}
	return nil
}

// found writes v inside nested objects, one per step of the path.
func (b *buffer) found(path string, v value) {
	if v.absent() {
		return
	}
	parts := steps(path)
	for i, p := range parts {
		if i > 0 {
			b.open('{')
		}
		b.anyKey(p)
	}
	b.raw(v)
	for range parts[1:] {
		b.close('}')
	}
}
