// Package crash kills the real program while it works, starts it again, and counts what the model server was asked.
package crash

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"

	"github.com/batholith/batholith/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// slots is how many requests the model server gets at once.
const slots = 16

// begin starts a server before a model server and a job of so many records on it.
func begin(t *testing.T, w *harness.Witness, records int) (s *harness.Server, job string) {
	t.Helper()
	s = harness.Start(t, harness.Model(w.URL, fmt.Sprint(", max_in_flight: ", slots)))
	s.Put("in/a.jsonl", harness.Prompts(records))
	return s, s.Create("in/a.jsonl")
}

// check compares output, counters and manifest: every record once, in input order, its input untouched, and nothing else left.
func check(t *testing.T, s *harness.Server, job string, records int) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(string(s.Output(job, "a.jsonl.out")), "\n"), "\n")
	for n, line := range lines {
		want := strings.TrimSuffix(strings.Replace(harness.Prompt(n), ", \"modelInput\"", ",\"modelInput\"", 1), "}") + `,"modelOutput":`
		if !strings.HasPrefix(line, want) || !strings.Contains(line, fmt.Sprintf("answer to p%d", n)) {
			t.Fatalf("line %d is %q", n+1, line)
		}
	}
	var manifest struct{ TotalRecordCount, ProcessedRecordCount, SuccessRecordCount, ErrorRecordCount int }
	if err := json.Unmarshal(s.Output(job, "manifest.json.out"), &manifest); err != nil {
		t.Fatal(err)
	}
	if len(lines) != records || manifest.TotalRecordCount != records || manifest.SuccessRecordCount != records || manifest.ProcessedRecordCount != records {
		t.Errorf("%d lines, manifest %+v; want %d", len(lines), manifest, records)
	}
	s.OutputAlone(2)
}

func TestKillsAtRandomMomentsLoseNothingAndRepeatOnlyWhatWasInFlight(t *testing.T) {
	const records, kills = 1500, 5
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	w := harness.NewWitness(t, 20*time.Millisecond)
	s, job := begin(t, w, records)
	for range kills {
		all, _, _ := w.Requests()
		w.Await(t, min(all+1+r.IntN(250), records-20))
		s.Kill()
		s.Start()
	}
	if out := s.End(job); out.Status != types.ModelInvocationJobStatusCompleted {
		t.Fatalf("the job ended %s: %s", out.Status, harness.Told(out))
	}
	check(t, s, job, records)
	all, prompts, most := w.Requests()
	if prompts != records || all-prompts > kills*slots || most > slots {
		t.Errorf("%d records asked, %d repeats after %d kills, %d in flight", prompts, all-prompts, kills, most)
	}
}

func TestAKillBeforeTheFirstRecordIsHarmless(t *testing.T) {
	w := harness.NewWitness(t, 0)
	s, job := begin(t, w, 200)
	s.Kill() // somewhere between Submitted and the end
	s.Start()
	if out := s.End(job); out.Status != types.ModelInvocationJobStatusCompleted {
		t.Fatalf("the job ended %s", out.Status)
	}
	check(t, s, job, 200)
}

func TestTerminateAsksNothingTwice(t *testing.T) {
	w := harness.NewWitness(t, 50*time.Millisecond)
	s, job := begin(t, w, 600)
	w.Await(t, 100)
	if code := s.Stop(); code != 0 {
		t.Errorf("exit status %d after SIGTERM\n%s", code, s.Log())
	}
	s.Start()
	s.End(job)
	check(t, s, job, 600)
	if all, prompts, _ := w.Requests(); all != prompts || prompts != 600 {
		t.Errorf("%d requests for %d records", all, prompts)
	}
}

func TestStopKeepsWhatWasFinishedAndSendsNothingMore(t *testing.T) {
	w := harness.NewWitness(t, 50*time.Millisecond)
	s, job := begin(t, w, 5000)
	w.Await(t, 100)
	if _, err := s.BedrockClient().StopModelInvocationJob(t.Context(), &bedrock.StopModelInvocationJobInput{JobIdentifier: &job}); err != nil {
		t.Fatal(err)
	}
	out := s.End(job)
	processed := int(*out.ProcessedRecordCount)
	if out.Status != types.ModelInvocationJobStatusStopped || processed < 100-slots {
		t.Errorf("%s with %d records", out.Status, processed)
	}
	if n := len(s.Lines(job, "a.jsonl.out")); n != processed {
		t.Errorf("%d lines, %d records processed", n, processed)
	}
	if all, _, _ := w.Requests(); all > processed+slots {
		t.Errorf("%d requests, %d records processed: more is lost than was in flight", all, processed)
	}
}
