package jsonscan

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func FuzzSureAgreesWithADecoder(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-2.5e+3,true,false,null,{}],"b":""}`, ` [ ] `, `"x"`, `01`, `1.`, `1e`, `-`, `tru`, `{"a":1,}`, `[1,]`, `{"a"}`, `{a:1}`, ``, ` `, `{}{}`,
		"\"\xc0\x80\"", `"\ud800"`, `"\ud83d\ude00"`, "\"\x00\"", "\"\x1f\"", "\"日本語\"", `"12345678\"12345678\\"`, "{\n}", "[\r]", "\ufeff{}", `"\`, `"\x"`, `[[[[]]]]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if Sure(b) && !jsontext.Value(b).IsValid(jsontext.AllowDuplicateNames(true)) {
			t.Errorf("it is sure of %q", b)
		}
	})
}

func TestSureOfWhatClientsWrite(t *testing.T) {
	for _, text := range []string{
		`{"anthropic_version": "bedrock-2023-05-31", "messages": [{"role": "user", "content": "line\nline \"quoted\""}], "temperature": 0.7}`,
		`{"inputText":"日本語","a":1e400,"a":-0}`, strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth),
	} {
		if !Sure([]byte(text)) {
			t.Errorf("not sure of %s", text)
		}
	}
	if Sure(bytes.Repeat([]byte("["), MaxDepth+1)) || Sure([]byte(strings.Repeat("[", MaxDepth+1)+strings.Repeat("]", MaxDepth+1))) {
		t.Error("sure of what nests too deep")
	}
}

func TestNothingIsAllocated(t *testing.T) {
	text := []byte(`{"a":["日本語",{"b":"\\"}]}`)
	if n := testing.AllocsPerRun(100, func() { Sure(text) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
