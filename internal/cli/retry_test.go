package cli

import (
	"os"
	"strings"
	"testing"

	"github.com/batholith/batholith/internal/object/objecttest"
)

// The records without an answer are found in the output of Batholith, with and without modelInput in its lines, and in that of Amazon, whose
// members come in any order and whose modelInput may be written otherwise.
func TestRecordsWithoutAnAnswerAreFoundInAnyOutput(t *testing.T) {
	const input = "\ufeff" + `{"recordId":"1","modelInput":{"a": 1}}
{"recordId":"2","modelInput":{"a": 2}}

{"modelInput":{"a": 3}}
{"recordId":"2","modelInput":{"a": 4}}`
	for name, c := range map[string]struct {
		ours   bool
		output string
		want   string
	}{
		"ours": {true, `{"recordId":"1","modelInput":{"a": 1},"modelOutput":{}}
{"recordId":"2","modelInput":{"a": 2},"error":{"errorCode":500,"errorMessage":"x"}}
{"recordId":"2","modelInput":{"a": 4},"modelOutput":{}}
`, `{"recordId":"2","modelInput":{"a": 2}}
{"modelInput":{"a": 3}}
`},
		"without the echo": {true, `{"recordId":"1","modelOutput":{}}
`, `{"recordId":"2","modelInput":{"a": 2}}
{"modelInput":{"a": 3}}
{"recordId":"2","modelInput":{"a": 4}}
`},
		"Amazon's": {false, `{"modelInput":{"a":1},"modelOutput":{},"recordId":"1"}
{"modelInput":{"a":2},"error":{"errorCode":400,"errorMessage":"x"},"recordId":"2"}
{"modelInput":{"a":3},"modelOutput":{},"recordId":"CALL0000001"}
`, `{"recordId":"2","modelInput":{"a": 2}}
{"modelInput":{"a": 3}}
{"recordId":"2","modelInput":{"a": 4}}
`},
		"nothing": {true, "", strings.TrimPrefix(strings.Replace(input, "\n\n", "\n", 1), "\ufeff") + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			b := objecttest.NewNamedMemory("b")
			for key, body := range map[string]string{"in/x/a.jsonl": input, "out/abcdefghij01/x/a.jsonl.out": c.output, "out/abcdefghij01/manifest.json.out": "{}"} {
				if err := b.Put(t.Context(), key, []byte(body)); err != nil {
					t.Fatal(err)
				}
			}
			f := &failedOnly{c: &clients{objects: &objects{}}, job: jobFacts{ARN: "arn/abcdefghij01"}, ours: c.ours, dir: t.TempDir()}
			if err := f.answered(t.Context(), b, "out/abcdefghij01/"); err != nil {
				t.Fatal(err)
			}
			defer f.table.Close()
			if err := f.copy(t.Context(), b, "in/", "out/abcdefghij01/"); err != nil {
				t.Fatal(err)
			}
			if len(f.files) != 1 || f.files[0].key != "x/a.jsonl" || f.records != 4 {
				t.Fatalf("%d records; the files are %+v", f.records, f.files)
			}
			got, err := os.ReadFile(f.files[0].path)
			if err != nil || string(got) != c.want || f.files[0].bytes != int64(len(got)) {
				t.Errorf("copied:\n%s\nwant:\n%s%v", got, c.want, err)
			}
		})
	}
}

// A line without the echo is known by its beginning, whatever its id, its answer and its error say.
func TestALineWithoutTheEchoIsKnown(t *testing.T) {
	for line, silent := range map[string]bool{
		`{"recordId":"1","modelOutput":{"modelInput":1}}`:                            true,
		`{"recordId":"a\"\\","error":{"errorCode":400,"errorMessage":"modelInput"}}`: true,
		`{"recordId":"1","modelInput":{"x":"\",\"modelOutput\":"},"modelOutput":{}}`: false,
		`{"recordId":"\",\"modelOutput\":","modelInput":{},"modelOutput":{}}`:        false,
		`{"modelInput":{},"modelOutput":{},"recordId":"1"}`:                          false,
	} {
		if got := silentLine.MatchString(line); got != silent {
			t.Errorf("%s: %v", line, got)
		}
	}
}

// The retry of a retry is named after the first job, and every name is one that Bedrock accepts.
func TestTheNameOfARetryDoesNotGrow(t *testing.T) {
	once := retryName(strings.Repeat("n", 63))
	for _, name := range []string{retryName("nightly"), once, retryName(once)} {
		if len(name) > 63 || !retried.MatchString(name) || strings.Count(name, "-retry-") != 1 {
			t.Errorf("%q", name)
		}
	}
}
