// Package ledger runs the real program through failures and kills, and holds its books to what the model server saw.
package ledger

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// trouble is a model server that refuses every tenth prompt for good, fails every fifth once, and never answers a few.
func trouble(w http.ResponseWriter, prompt string, nth int) bool {
	var n int
	fmt.Sscanf(prompt, "p%d", &n)
	switch {
	case n%10 == 1:
		http.Error(w, `{"error":{"message":"too hot"}}`, http.StatusBadRequest)
	case n%100 == 7:
		http.Error(w, `{"error":{"message":"out of order"}}`, http.StatusInternalServerError)
	case n%5 == 2 && nth == 1:
		fmt.Fprint(w, `{"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":1}}`)
	default:
		return false
	}
	return true
}

// verify runs batholith verify against a server and returns what it printed and whether it was content.
func verify(t *testing.T, s *harness.Server, job string) (string, bool) {
	t.Helper()
	cmd := exec.Command(harness.Binary(t), "verify", job)
	cmd.Env, cmd.Dir = s.Environ(), s.Dir
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

func manifest(t *testing.T, s *harness.Server, job string) (m batholith.Manifest) {
	t.Helper()
	if err := json.Unmarshal(s.Output(job, batholith.ManifestName), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTheLedgerIsWhatTheModelServerSaw(t *testing.T) {
	const records = 300
	w := harness.NewWitness(t, 0)
	w.Answer = trouble
	s := harness.Start(t, harness.Model(w.URL, ", max_in_flight: 16")+"attempts: 3\n")
	s.Put("in/a.jsonl", harness.Prompts(records))
	job := s.Create("in/a.jsonl")
	if out := s.End(job); out.Status != types.ModelInvocationJobStatusCompleted {
		t.Fatalf("the job ended %s: %s", out.Status, harness.Told(out))
	}
	m := manifest(t, s, job)
	b := m.Batholith
	all, prompts, _ := w.Requests()
	if b.Attempts != int64(all) || b.Repeats != int64(all-prompts) || b.Reissued != 0 {
		t.Errorf("%d requests, %d of them repeats; the manifest has %d and %d, %d reissued", all, all-prompts, b.Attempts, b.Repeats, b.Reissued)
	}
	want := batholith.ManifestOutcomes{Answer: records - 30 - 3, Refused: 30, Exhausted: 3}
	if b.Outcomes != want {
		t.Errorf("outcomes %+v, want %+v", b.Outcomes, want)
	}
	unusable := int64(records/5 - 3) // of 7, 107 and 207 none came through
	if b.Wasted.Input != 11*unusable || b.Wasted.Output != unusable || m.InputTokenCount != 3*want.Answer {
		t.Errorf("tokens %d in, wasted %+v; want %d and %d answers of no use", m.InputTokenCount, b.Wasted, 3*want.Answer, unusable)
	}
	if text, ok := verify(t, s, job); !ok || !strings.Contains(text, fmt.Sprintf("%d answers, 33 errors", want.Answer)) {
		t.Error(text)
	}
}

func TestAJobThroughKillsVerifiesAndItsRepeatsAreAccountedFor(t *testing.T) {
	const records, kills = 1200, 3
	w := harness.NewWitness(t, 10*time.Millisecond)
	s := harness.Start(t, harness.Model(w.URL, ", max_in_flight: 16"))
	s.Put("in/a.jsonl", harness.Prompts(records/2))
	s.Put("in/n/b.jsonl", harness.Prompts(records))
	job := s.Create("in/")
	for kill := range kills {
		w.Await(t, 200*(kill+1))
		s.Kill()
		s.Start()
	}
	if out := s.End(job); out.Status != types.ModelInvocationJobStatusCompleted {
		t.Fatalf("the job ended %s: %s", out.Status, harness.Told(out))
	}
	m := manifest(t, s, job)
	b := m.Batholith
	all, _, _ := w.Requests()
	if b.Attempts > int64(all) || int64(all) > b.Attempts+b.Reissued || b.Reissued == 0 {
		t.Errorf("the model server saw %d requests; the manifest has %d and %d records that were handed out again", all, b.Attempts, b.Reissued)
	}
	if text, ok := verify(t, s, job); !ok || !strings.Contains(text, "1,800 records in 2 files") {
		t.Error(text)
	}
}

func TestVerifyFindsWhatSomeoneDidToTheBucket(t *testing.T) {
	w := harness.NewWitness(t, 0)
	s := harness.Start(t, harness.Model(w.URL, ""))
	s.Put("in/a.jsonl", harness.Prompts(50))
	job := s.Create("in/a.jsonl")
	s.End(job)
	if text, ok := verify(t, s, job); !ok {
		t.Fatal(text)
	}

	s.Put("in/a.jsonl", append(harness.Prompts(50), []byte(harness.Prompt(50)+"\n")...))
	if text, ok := verify(t, s, job); ok || !strings.Contains(text, "/in/a.jsonl:51: the record has no line") || !strings.Contains(text, "the input has 51 records; the manifest says 50") {
		t.Errorf("an input that grew: %s", text)
	}
	s.Put("in/a.jsonl", harness.Prompts(50))

	body := strings.Replace(string(s.Output(job, "a.jsonl.out")), `"recordId":"r7"`, `"recordId":"r8"`, 1)
	s.Put("out/"+harness.ID(job)+"/a.jsonl.out", []byte(body))
	if text, ok := verify(t, s, job); ok || !strings.Contains(text, "a.jsonl.out:8: ") {
		t.Errorf("an output that was edited: %s", text)
	}

	_, err := s.S3Client().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(harness.Bucket), Key: aws.String("out/" + harness.ID(job) + "/" + batholith.ManifestName)})
	if err != nil {
		t.Fatal(err)
	}
	if text, ok := verify(t, s, job); ok || !strings.Contains(text, "has no manifest") {
		t.Errorf("without a manifest: %s", text)
	}
}
