package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
)

func outputFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.jsonl.out")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const answered = `{"recordId":"r1","modelInput":{"prompt":"How are you?"},"modelOutput":{"generation":"Fine,\nthanks."}}`

func failed(code, message string) string {
	return `{"recordId":"r2","modelInput":{"prompt":"x"},"error":{"errorCode":` + code + `,"errorMessage":"` + message + `"}}`
}

func TestSummaryTellsWhatBecameOfTheJob(t *testing.T) {
	s := summary{
		took: 4 * time.Second,
		result: localResult{Manifest: "out/manifest.json.out", Outputs: []string{outputFile(t, answered, failed("400", "too long"))},
			Job: batholith.Job{Status: batholith.StatusCompleted, Request: batholith.Request{ModelID: "m"},
				Counts: batholith.Counts{Total: 2000, Processed: 2000, Succeeded: 1999, Errored: 1}, Tokens: batholith.Tokens{Input: 1234, Output: 7, CacheRead: 823}}},
	}
	var out bytes.Buffer
	s.write(&screen{out: &out})
	want := `Completed: 1,999 of 2,000 records answered, 1 error, in 4s (500 records/s)
model     m
tokens    1,234 in (66 % of them from the model server's cache), 7 out
manifest  out/manifest.json.out

  r1  How are you?
    → Fine, thanks.

why records failed, the most frequent first:
  1 × 400 too long
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestAResumedJobIsNotCreditedWithWhatWasDoneBefore(t *testing.T) {
	s := summary{took: 10 * time.Second, before: batholith.Counts{Processed: 900}, result: localResult{Resumed: true,
		Job: batholith.Job{Counts: batholith.Counts{Total: 1000, Processed: 1000}}}}
	if got, want := s.speed(), " (10 records/s); 900 were done before"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestReasonsAreCountedMostFrequentFirst(t *testing.T) {
	lines := []string{failed("500", "d"), failed("400", "b"), answered, failed("400", "b"), failed("429", "c"), failed("429", "c"), failed("400", "a"), failed("429", "c")}
	s := summary{result: localResult{Outputs: []string{outputFile(t, lines...)}, Job: batholith.Job{Counts: batholith.Counts{Errored: 7}}}}
	want := []counted{{"429 c", 3}, {"400 b", 2}, {"400 a", 1}}
	if diff := cmp.Diff(want, s.reasons()); diff != "" {
		t.Error(diff)
	}
}

// An answer may quote an error; that does not make it one.
func TestAnAnswerThatQuotesAnErrorIsNoReason(t *testing.T) {
	quoting := `{"recordId":"1","modelInput":{"prompt":"{\"errorCode\"}"},"modelOutput":{"errorCode":5}}`
	s := summary{result: localResult{Outputs: []string{outputFile(t, quoting)}, Job: batholith.Job{Counts: batholith.Counts{Errored: 1}}}}
	if got := s.reasons(); len(got) != 0 {
		t.Error(got)
	}
}

func TestSamplesAreAtMostThree(t *testing.T) {
	s := summary{result: localResult{Outputs: []string{outputFile(t, answered, answered), outputFile(t, answered, answered), "nowhere"}}}
	if got := len(s.samples()); got != 3 {
		t.Errorf("%d samples", got)
	}
}
