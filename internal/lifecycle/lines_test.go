package lifecycle

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/jsonl"
)

func TestNoOutputLiesBelowTheErrorsOfAnother(t *testing.T) {
	files := []batholith.File{{Key: "in/x.jsonl", Output: "x.jsonl.out"}, {Key: "in/x.jsonl.err/y.jsonl", Output: "x.jsonl.err/y.jsonl.out"}}
	job := batholith.Job{Request: batholith.Request{OutputLines: batholith.LinesOpenAI}}
	if err := besideErrors(job, files); err == nil || !strings.Contains(err.Error(), "below the errors of in/x.jsonl") {
		t.Errorf("both were taken: %v", err)
	}
	if err := besideErrors(job, files[:1]); err != nil {
		t.Error(err)
	}
	if err := besideErrors(batholith.Job{}, files); err != nil {
		t.Errorf("a job in Bedrock's lines: %v", err)
	}
}

func TestAllLinesOfABatchNameItsModel(t *testing.T) {
	l := &Lifecycle{o: Options{Names: func(batholith.Job) []string { return []string{"m", "alias"} }}}
	batch := batholith.Job{Request: batholith.Request{InputLines: batholith.LinesOpenAI, Batch: &batholith.Batch{File: "file-1"}}}
	tagged := batholith.Job{Request: batholith.Request{InputLines: batholith.LinesOpenAI}}
	for body, want := range map[string][2]string{ // what a batch over a file says, and another job
		`{"model":"m"}`: {}, `{"model":"alias"}`: {}, `{"model":"gpt-4o"}`: {"a batch has one model", "a batch has one model"}, `{}`: {"is missing", ""}, `{"model":7}`: {"is missing", ""},
	} {
		for i, job := range []batholith.Job{batch, tagged} {
			why := l.unfitLines(job)(jsonl.Line{Input: []byte(body)})
			if (want[i] == "") != (why == "") || !strings.Contains(why, want[i]) {
				t.Errorf("%s of job %d: %q; want %q", body, i, why, want[i])
			}
		}
	}
	if l.unfitLines(batholith.Job{}) != nil {
		t.Error("the lines of a job of Bedrock's are looked at")
	}
}

func TestAllLinesOfABatchAreOfItsEndpoint(t *testing.T) {
	lacks := error(nil)
	l := &Lifecycle{o: Options{Names: func(batholith.Job) []string { return []string{"m"} }, Takes: func(batholith.Job) error { return lacks }}}
	job := batholith.Job{Request: batholith.Request{ModelID: "m", Type: batholith.Embeddings, InputLines: batholith.LinesOpenAI}}
	line := func(url string) jsonl.Line { return jsonl.Line{URL: url, Input: []byte(`{"model":"m"}`)} }
	find := l.unfitLines(job)
	for url, want := range map[string]string{"": "", "/v1/embeddings": "", "/v1/chat/completions": "url is /v1/chat/completions, and the batch is of /v1/embeddings"} {
		if why := find(line(url)); (want == "") != (why == "") || !strings.HasPrefix(why, want) {
			t.Errorf("%q: %q; want %q", url, why, want)
		}
	}
	lacks = errors.New("it makes no embeddings")
	if why := l.unfitLines(job)(line("/v1/embeddings")); why != "url is /v1/embeddings, which the model m does not have: it makes no embeddings" {
		t.Error(why)
	}
}

// A job that expires before its first record has no output in Bedrock's form. In OpenAI's it has a line for each record.
func TestAnExpiredBatchIsPublished(t *testing.T) {
	for lines, want := range map[batholith.Lines][]batholith.Status{batholith.LinesBedrock: nil, batholith.LinesOpenAI: {batholith.StatusExpired}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.look = time.Hour
			w.put("a.jsonl", records(20))
			defer w.start()()
			w.hold(batholith.StatusScheduled)
			w.create(id, "a.jsonl", func(j *batholith.Job) { j.OutputLines = lines })
			w.reach(batholith.StatusScheduled)
			time.Sleep(24*time.Hour + time.Second)
			synctest.Wait()
			if j := w.job(id); j.Status != batholith.StatusExpired || !slices.Equal(w.finals(id), want) {
				t.Errorf("%q: %s (%q), published %v; want %v", lines, j.Status, j.Message, w.finals(id), want)
			}
		})
	}
}
