package jsonl

import (
	"bytes"
	"testing"

	"github.com/batholith/batholith"
)

// What is read from the line of an answer is what was written, and no other line is taken for one.
func TestAnAnswerIsReadAsItWasWritten(t *testing.T) {
	source := &batholith.Source{Backend: `h"ost:1`, Model: "m,}]"}
	for _, c := range []struct{ id, input, output string }{
		{"1", `{"a":1}`, `{"b":[1,"}"]}`},
		{"\"\\\n\x01é", `{"modelOutput":{}, "error":1 ,"x":"\ud800"}`, "[{},\n 1]"},
		{"", `{}`, `"text, \"batholith\":{}"`},
	} {
		for _, from := range []*batholith.Source{nil, source} {
			line := AppendSourced(nil, []byte(c.id), []byte(c.input), []byte(c.output), from)
			a, ok := ParseAnswer(line)
			want := bytes.ReplaceAll([]byte(c.output), []byte("\n"), []byte(" "))
			if !ok || string(a.ID) != c.id || string(a.Input) != c.input || !bytes.Equal(a.Output, want) {
				t.Errorf("%s is read as %q %q %q, %v", line, a.ID, a.Input, a.Output, ok)
			}
			if from != nil && (a.BackendName != from.Backend || a.ModelName != from.Model) {
				t.Errorf("%s is read as an answer of %q, %q", line, a.BackendName, a.ModelName)
			}
			for cut := range len(line) - 1 {
				if _, ok := ParseAnswer(line[:cut]); ok {
					t.Errorf("%s is taken for an answer", line[:cut])
				}
			}
		}
	}
	for _, line := range []string{
		string(AppendError(nil, []byte("1"), []byte(`{}`), &batholith.RecordError{Code: 400, Message: `,"modelOutput":{}`})),
		`{"recordId":"1","modelOutput":{}}`,                                    // without the echo
		`{"modelInput":{},"modelOutput":{},"recordId":"1"}`,                    // Amazon's
		`{"recordId":"1","modelInput":{},"modelOutput":{},"other":1}`,          //
		`{"recordId":"1","modelInput":{},"modelOutput":{},"batholith":{"x":}}`, //
		"", "{}", "null",
	} {
		if a, ok := ParseAnswer([]byte(line)); ok {
			t.Errorf("%s is taken for an answer: %q", line, a.Output)
		}
	}
}
