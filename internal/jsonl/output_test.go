package jsonl

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

// oddInput holds what a decoder would lose: odd spacing, duplicate names, huge numbers, needless escapes.
const oddInput = `{ "a" :1.0000000000000000000001,"a":  1E400, "\u0062":"\/<>&` + "\u2028" + `\ud800", "c":[ ]	}`

func TestModelInputIsCopiedByteForByte(t *testing.T) {
	id, input, err := Parse([]byte(`{"recordId":"a\u00e9\"<","modelInput":` + oddInput + ` }`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"recordId":"aé\"<","modelInput":` + oddInput
	if got := string(AppendOutput(nil, id, input, []byte(`{"x":1}`))); got != want+`,"modelOutput":{"x":1}}`+"\n" {
		t.Errorf("output line %s", got)
	}
	e := &batholith.RecordError{Code: 400, Message: "<a> & \"b\"\n\u2028\x00\xff"}
	got := string(AppendError(nil, id, input, e))
	if got != want+`,"error":{"errorCode":400,"errorMessage":"<a> & \"b\"\n`+"\u2028"+`\u0000`+"\ufffd"+`"}}`+"\n" {
		t.Errorf("error line %s", got)
	}
}

func TestOutputIsOneLineWhateverTheAnswer(t *testing.T) {
	answer := "{\n \"a\": \"x\\n\",\n\n\"b\": [\n]}\n"
	got := AppendOutput([]byte("before\n"), []byte("a"), []byte(`{}`), []byte(answer))
	if n := bytes.Count(got, []byte("\n")); n != 2 || got[len(got)-1] != '\n' {
		t.Fatalf("%d line breaks in %q", n, got)
	}
	var line struct{ ModelOutput struct{ A string } }
	if err := json.Unmarshal(got[7:], &line); err != nil || line.ModelOutput.A != "x\n" {
		t.Errorf("%q reads as %+v, %v", got, line, err)
	}
}

func TestMadeIDsAreStableAndNeverCollideWithinAJob(t *testing.T) {
	if a, b := MakeID("abcdefghijkl", 3, 7), MakeID("abcdefghijkl", 3, 7); a != b {
		t.Errorf("%s and %s for one line", a, b)
	}
	if got, want := MakeID("abcdefghijkl", 0, 1), "7RYIOKZ3MYB"; got != want {
		t.Errorf("MakeID = %s; %s is what earlier versions made", got, want)
	}
	seen := map[string]bool{}
	for file := range 20 {
		for line := range int64(5000) {
			id := MakeID("job4job4job4", file, line)
			if seen[id] || len(id) != 11 || strings.Trim(id, alphabet) != "" {
				t.Fatalf("file %d line %d: %s (seen: %v)", file, line, id, seen[id])
			}
			seen[id] = true
		}
	}
	if MakeID("abcdefghijkl", 0, 1) == MakeID("abcdefghijkm", 0, 1) {
		t.Error("two jobs share an id")
	}
}
