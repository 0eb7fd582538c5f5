package jsonl

import (
	"bytes"
	"testing"

	"github.com/batholith/batholith"
)

// FuzzCheckAgreesWithExamine holds the fast scanner to the verdict of jsontext: what check accepts, examine accepts with the
// same members; what only examine accepts has escapes where check does not look into them.
func FuzzCheckAgreesWithExamine(f *testing.F) {
	for _, seed := range []string{
		`{"recordId":"a","modelInput":{}}`, ` { "modelInput" : { "a" : [ ] } , "x" : null } `, `{"modelInput":{"a":"\ud83d\ude00"}}`,
		`{"modelInput":{"a":-0.0e+1,"b":[1,2,[true,false]]}}`, `{"modelInput":{"a":01}}`, `{"modelInput":{"a":1.}}`, `{"modelInput":{"a":1e}}`,
		`{"\u0072ecordId":"a","modelInput":{}}`, `{"recordId":"\ud800","modelInput":{}}`, `{"modelInput":{"a":"\ud800"}}`,
		"{\"modelInput\":{\"a\":\"\x00\"}}", "{\"modelInput\":{\"a\":\"\x7f\u2028é\"}}", "{\"modelInput\":{\"a\":\"\xc0\x80\"}}",
		`{"modelInput":{},"modelInput":{}}`, `{"recordId":1,"modelInput":{}}`, `{"modelInput":{}},`, `{"modelInput":{"a":tru}}`,
		`{"modelInput":{"a":"12345678\"12345678\\"}}`, `{"modelInput":{"aaaaaaa` + "\x1f" + `":1}}`, `{"a":"\`, `{}`, ``, `{"modelInput":{"a"`,
		"\v{\"modelInput\":{}}", "\u00a0{\"modelInput\":{}}", "{\"modelInput\":{}}\x00", `{"recordId":"\\u","modelInput":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if bytes.IndexByte(line, '\n') >= 0 {
			return
		}
		for _, lines := range []batholith.Lines{batholith.LinesBedrock, batholith.LinesOpenAI} {
			fast, ok := check(line, lines)
			slow, reason := examine(line, lines)
			switch {
			case ok && reason != "":
				t.Errorf("check accepts %q; examine: %s", line, reason)
			case ok && fast != slow:
				t.Errorf("%q: check finds %v, examine %v", line, fast, slow)
			case !ok && reason == "" && bytes.IndexByte(line, '\\') < 0:
				t.Errorf("examine accepts %q; check does not", line)
			}
		}
	})
}

func TestCheckItselfAcceptsWhatClientsWrite(t *testing.T) {
	for _, line := range []string{
		`{"recordId":"a","modelInput":{}}`,
		`{"recordId": "a\\b\"", "modelInput": {"anthropic_version": "bedrock-2023-05-31", "messages": [{"role": "user", "content": "\u00e9\n"}]}}`,
		`{"modelInput":{"a":"日本語","b":1e400,"b":-0}}` + "\r",
		`{"modelInput":{"inputText":"x"},"metadata":{"tags":[]},"metadata":1}`,
	} {
		if _, ok := check([]byte(line), batholith.LinesBedrock); !ok {
			t.Errorf("only examine can read %s", line)
		}
	}
}
