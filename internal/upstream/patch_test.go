package upstream

import (
	"encoding/json"
	"reflect"
	"testing"
)

// A patch follows RFC 7396, and keeps the bytes of what it does not name.
func TestAPatchMergesIntoABody(t *testing.T) {
	for _, c := range []struct{ body, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b","b":1}`, `{"a":null}`, `{"b":1}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":{"b":"c","x":1}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d","x":1}}`},
		{`{"a":1}`, `{"a":{"b":2}}`, `{"a":{"b":2}}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{`{"messages":[{"content":"\u00e9 9007199254740993 1e400"}],"n":1.50}`, `{"chat_template_kwargs":{"enable_thinking":false}}`,
			`{"messages":[{"content":"\u00e9 9007199254740993 1e400"}],"n":1.50,"chat_template_kwargs":{"enable_thinking":false}}`},
		{`{"a":1,"a":2}`, `{"a":3}`, `{"a":3}`},
		{`[1]`, `{"a":3}`, `[1]`},
		{``, `{"a":3}`, ``},
	} {
		p, err := newPatch(c.patch)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(p.apply([]byte(c.body))); got != c.want {
			t.Errorf("%s and %s: got %s, want %s", c.body, c.patch, got, c.want)
		}
	}
	for _, bad := range []string{`[]`, `{`, `x`, `null`} {
		if _, err := newPatch(bad); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

// A patched body is what RFC 7396 says, computed another way.
func FuzzPatch(f *testing.F) {
	f.Add(`{"a":{"b":1}}`, `{"a":{"b":null,"c":[]}}`)
	f.Fuzz(func(t *testing.T, body, text string) {
		var target, change map[string]any
		if json.Unmarshal([]byte(body), &target) != nil || json.Unmarshal([]byte(text), &change) != nil || target == nil || change == nil {
			return
		}
		p, err := newPatch(text)
		if err != nil {
			return // stricter than encoding/json
		}
		if again, err := newPatch(body); err != nil || again.double() || p.double() {
			return
		}
		var got any
		if err := json.Unmarshal(p.apply([]byte(body)), &got); err != nil {
			t.Fatalf("%s and %s: %v", body, text, err)
		}
		if want := merged(target, change); !reflect.DeepEqual(got, want) {
			t.Errorf("%s and %s: %v, want %v", body, text, got, want)
		}
	})
}

// double reports whether a name occurs twice: then the order counts.
func (p patch) double() bool {
	seen := map[string]bool{}
	for _, m := range p {
		if seen[m.name] || m.inner.double() {
			return true
		}
		seen[m.name] = true
	}
	return false
}

// merged is the pseudocode of RFC 7396, section 2.
func merged(target, change any) any {
	c, ok := change.(map[string]any)
	if !ok {
		return change
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	for name, v := range c {
		if v == nil {
			delete(t, name)
		} else {
			t[name] = merged(t[name], v)
		}
	}
	return t
}
