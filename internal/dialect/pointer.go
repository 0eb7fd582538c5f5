package dialect

import (
	"strconv"
	"strings"
)

// pointed follows a JSON pointer (RFC 6901) of one or more steps; nil when it leads nowhere.
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

// steps splits a pointer and unescapes its steps.
func steps(path string) []string {
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

// element is the item of an array at a position that is written as text.
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

// found writes a value under the steps that lead to it.
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
