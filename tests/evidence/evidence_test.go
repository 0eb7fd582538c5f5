// Package evidence holds the laws of whose fault a failure is with the real program, and model servers that are processes of their own:
// simulated ones that fail by content, at random, for everybody, or die. The same laws hold in virtual time, with more kinds and rates,
// in internal/engine.
package evidence

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"

	"github.com/batholith/batholith/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// prompts are n records, of which record i holds what more says.
func prompts(n int, more func(i int) string) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `{"recordId":"r%d","modelInput":{"messages":[{"role":"user","content":"p%d %s"}],"max_tokens":4}}`+"\n", i, i, more(i))
	}
	return b.Bytes()
}

func plain(int) string { return "" }

// kinds are faults by content, with the code that an error line has; 0: any.
var kinds = []struct {
	name string
	code int
}{{"401", 401}, {"402", 402}, {"403", 403}, {"404", 404}, {"405", 405}, {"409", 409}, {"410", 410}, {"418", 418}, {"422", 422}, {"500", 500}, {"502", 502},
	{"504", 504}, {"reset", 0}, {"torn", 0}, {"nonsense", 0}}

// TestABadRecordHoldsUpNoOther: records of every kind of fault, in the midst of others, and twenty that come first. The others are answered at
// once, and each bad one ends with the server's status.
func TestABadRecordHoldsUpNoOther(t *testing.T) {
	const first, records = 20, 400
	sim := harness.Simulate(t, "--engine", "none", "--slots", "16", "--step", "5ms", "--fail-marked")
	s := harness.Start(t, harness.Model(sim.URL(), ", max_in_flight: 16"))
	kindOf := func(i int) (name string, code int) {
		switch {
		case i < first:
			return "500", 500
		case i >= 200 && i < 200+len(kinds):
			return kinds[i-200].name, kinds[i-200].code
		}
		return "", 0
	}
	s.Put("a.jsonl", prompts(records, func(i int) string {
		if name, _ := kindOf(i); name != "" {
			return "fail:" + name
		}
		return ""
	}))
	good := int64(records - first - len(kinds))
	job := s.Create("a.jsonl")
	s.Until(job, func(j *harness.Job) bool {
		if j.EndTime != nil && aws.ToInt64(j.SuccessRecordCount) != good {
			t.Fatalf("the job ended %s with %d answers, want %d: %s", j.Status, aws.ToInt64(j.SuccessRecordCount), good, harness.Told(j))
		}
		return aws.ToInt64(j.SuccessRecordCount) == good
	})
	j := s.End(job)
	if j.Status != types.ModelInvocationJobStatusCompleted || aws.ToInt64(j.ErrorRecordCount) != records-good {
		t.Errorf("the job ended %s with %d error lines, want %d", j.Status, aws.ToInt64(j.ErrorRecordCount), records-good)
	}
	for i, l := range s.Lines(job, "a.jsonl.out") {
		name, code := kindOf(i)
		if (l.Error != nil) != (name != "") || l.Error != nil && code != 0 && l.Error.ErrorCode != code {
			t.Errorf("record %d (fault %q): error %+v", i, name, l.Error)
		}
	}
}

// TestABadRecordStopsNoJobOfAnother: a principal's job has nothing but bad records, and another's is created a little later.
func TestABadRecordStopsNoJobOfAnother(t *testing.T) {
	for _, kind := range []string{"403", "500", "reset"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			sim := harness.Simulate(t, "--engine", "none", "--slots", "16", "--step", "5ms", "--fail-marked")
			s := harness.Start(t, harness.Model(sim.URL(), ", max_in_flight: 16"))
			s.Put("bad.jsonl", prompts(30, func(int) string { return "fail:" + kind }))
			s.Put("good.jsonl", prompts(100, plain))
			bad := s.Create("bad.jsonl", named("bad"))
			s.Until(bad, func(*harness.Job) bool { return sim.Totals().Failed > 0 })
			j := s.End(s.Create("good.jsonl", named("good")))
			if aws.ToInt64(j.SuccessRecordCount) != 100 {
				t.Errorf("the good job ended %s with %d answers: %s", j.Status, aws.ToInt64(j.SuccessRecordCount), harness.Told(j))
			}
			if j := s.Job(bad); j.EndTime == nil { // it ends too, later: what is left of it is not what this is about
				if _, err := s.BedrockClient().StopModelInvocationJob(t.Context(), &bedrock.StopModelInvocationJobInput{JobIdentifier: &bad}); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func named(name string) func(*bedrock.CreateModelInvocationJobInput) {
	return func(in *bedrock.CreateModelInvocationJobInput) { in.JobName = &name }
}

// TestAServerThatIsBrokenForEverybodyCostsNoRecord: it answers everybody alike for a while, or is dead. No record gets an error line, and what is
// asked meanwhile is little.
func TestAServerThatIsBrokenForEverybodyCostsNoRecord(t *testing.T) {
	const records = 1500
	for _, kind := range []string{"401", "500", "503", "reset", "killed"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel() // most of the time is waiting
			flags := []string{"--engine", "none", "--slots", "8", "--step", "10ms", "--output-tokens", "4"}
			if kind != "killed" {
				flags = append(flags, "--outage", kind+"@3s-15s")
			}
			sim := harness.Simulate(t, flags...)
			s := harness.Start(t, harness.Model(sim.URL(), ", max_in_flight: 8"))
			s.Put("a.jsonl", prompts(records, plain))
			job := s.Create("a.jsonl")
			if kind == "killed" {
				s.Until(job, func(j *harness.Job) bool { return aws.ToInt64(j.ProcessedRecordCount) > 50 })
				sim.Kill()
				s.Until(job, func(j *harness.Job) bool { return strings.Contains(harness.Told(j), "refuses connections") })
				sim.Start()
			}
			j := s.End(job)
			if j.Status != types.ModelInvocationJobStatusCompleted || aws.ToInt64(j.SuccessRecordCount) != records {
				t.Errorf("the job ended %s with %d answers and %d error lines: %s", j.Status, aws.ToInt64(j.SuccessRecordCount), aws.ToInt64(j.ErrorRecordCount), harness.Told(j))
			}
			var m struct {
				Batholith struct{ Attempts, Repeats int64 } `json:"batholith"`
			}
			if err := json.Unmarshal(s.Output(job, "manifest.json.out"), &m); err != nil {
				t.Fatal(err)
			}
			if m.Batholith.Repeats > 60 {
				t.Errorf("%d requests were repeated over an outage of some seconds", m.Batholith.Repeats)
			}
		})
	}
}

// TestRefusalsAtRandomCostTheirShareOnly: a server that refuses twelve requests in a hundred is asked once more for each of them, and no record
// ends with an error. What that costs in time is measured in virtual time, in internal/engine.
func TestRefusalsAtRandomCostTheirShareOnly(t *testing.T) {
	const records, refusals = 3000, 0.12
	sim := harness.Simulate(t, "--engine", "none", "--slots", "32", "--step", "5ms", "--output-tokens", "4", "--fail-at-random", "503=0.06,429=0.06")
	s := harness.Start(t, harness.Model(sim.URL(), ""))
	s.Put("a.jsonl", prompts(records, plain))
	if j := s.End(s.Create("a.jsonl")); aws.ToInt64(j.SuccessRecordCount) != records {
		t.Errorf("the job ended %s with %d answers: %s", j.Status, aws.ToInt64(j.SuccessRecordCount), harness.Told(j))
	}
	all := sim.Totals()
	requests, want := all.Requests+all.Failed, records/(1-refusals)
	t.Logf("%+v for %d records, want about %.0f requests", all, records, want)
	if float64(requests) > 1.1*want { // the refusals are random: their standard deviation is 0.7 % of the requests
		t.Errorf("%d requests for %d records, want about %.0f", requests, records, want)
	}
}
