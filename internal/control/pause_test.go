package control

import (
	"strings"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
)

func TestAPauseIsForJobsThatAreNotEnding(t *testing.T) {
	a := newTester(nil)
	arn := a.create(t, input("job"))
	pause := func() error {
		return second(a.PauseModelInvocationJob(a.ctx, &bedrock.PauseModelInvocationJobInput{JobIdentifier: arn}))
	}
	resume := func() error {
		return second(a.ResumeModelInvocationJob(a.ctx, &bedrock.ResumeModelInvocationJobInput{JobIdentifier: idOf(arn)}))
	}
	for _, s := range batholith.Statuses() {
		a.set(idOf(arn), s)
		if s.Terminal() || s == batholith.StatusStopping {
			refused(t, pause(), bedrock.CodeConflict, "cannot be paused. State was: "+string(s))
			refused(t, resume(), bedrock.CodeConflict, "cannot be resumed. State was: "+string(s))
			continue
		}
		for range 2 {
			if err := pause(); err != nil {
				t.Fatal(s, err)
			}
		}
		j := a.get(t, arn)
		if n := j.Batholith; j.Status != s || n == nil || n.PausedSince.IsZero() || !strings.Contains(n.PauseReason, "has paused the job") {
			t.Fatalf("a paused job that was %s: %s, %+v", s, j.Status, n)
		}
		for _, part := range []string{"Paused since 2001-09-09 01:46:40 UTC: ", "has paused the job. ", "goes on with: batholith job resume " + idOf(arn), "Its deadline stays "} {
			if !strings.Contains(j.Batholith.Note, part) {
				t.Errorf("the note lacks %q: %s", part, j.Batholith.Note)
			}
		}
		for range 2 {
			if err := resume(); err != nil {
				t.Fatal(s, err)
			}
		}
		if n := a.get(t, arn).Batholith; n != nil && (!n.PausedSince.IsZero() || strings.Contains(n.Note, "Paused")) {
			t.Errorf("a job that goes on: %+v", n)
		}
	}
}

// While a worker of an earlier version runs, what it would ignore is refused, with its name; all else goes on.
func TestWhatAnOlderWorkerWouldIgnoreIsRefused(t *testing.T) {
	older := "w0"
	a := newTester(func(o *Options) { o.Ignoring = func() string { return older } })
	arn := a.create(t, input("plain"))
	tagged := func(key, value string) error {
		in := input("job" + key[len("batholith:"):])
		in.Tags = []bedrock.Tag{{Key: key, Value: value}}
		return second(a.CreateModelInvocationJob(a.ctx, in))
	}
	change := func(key, value string) error {
		return second(a.TagResource(a.ctx, &bedrock.TagResourceInput{ResourceARN: arn, Tags: []bedrock.Tag{{Key: key, Value: value}}}))
	}
	acts := map[string]func() error{
		"ignore caps":         func() error { return tagged(batholith.MaxTokensTag, "100") },
		"ignore openai-lines": func() error { return tagged(batholith.InputTag, "openai") },
		"ignore canary":       func() error { return change(batholith.SampleTag, "3") },
		"ignore pauses": func() error {
			return second(a.PauseModelInvocationJob(a.ctx, &bedrock.PauseModelInvocationJobInput{JobIdentifier: arn}))
		},
	}
	for what, act := range acts {
		refused(t, act(), bedrock.CodeThrottling, "the worker w0 is of an earlier version and would "+what)
	}
	if err := change("team", "a"); err != nil {
		t.Error(err)
	}
	older = ""
	for what, act := range acts {
		if err := act(); err != nil {
			t.Error(what, err)
		}
	}
}
