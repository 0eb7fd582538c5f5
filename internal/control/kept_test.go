package control

import (
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
)

// kept is what the API says of a job's kept results.
func (a *tester) kept(t *testing.T, arn string) bedrock.GetKeptResultsOutput {
	t.Helper()
	out, err := a.GetKeptResults(a.ctx, &bedrock.GetKeptResultsInput{JobIdentifier: arn})
	if err != nil {
		t.Fatal(err)
	}
	return *out
}

func TestKeptResultsArePublishedOrDiscardedOnRequest(t *testing.T) {
	a := newTester(nil)
	arn := a.create(t, input("job"))
	publish := func() error {
		return second(a.PublishKeptResults(a.ctx, &bedrock.PublishKeptResultsInput{JobIdentifier: arn}))
	}
	discard := func() error {
		return second(a.DiscardKeptResults(a.ctx, &bedrock.DiscardKeptResultsInput{JobIdentifier: idOf(arn)}))
	}
	if k := a.kept(t, arn); k.State != batholith.KeptNone || k.RecordCount != 0 {
		t.Errorf("a job that keeps nothing: %+v", k)
	}
	refused(t, publish(), bedrock.CodeConflict, "no kept results")
	refused(t, discard(), bedrock.CodeConflict, "no kept results")

	j, err := a.memory.find(account, idOf(arn))
	if err != nil {
		t.Fatal(err)
	}
	j.Kept, j.Note, j.Status, j.Counts.Processed = batholith.KeptWaiting, "access denied", batholith.StatusFailed, 7
	if k := a.kept(t, arn); k.State != batholith.KeptWaiting || k.RecordCount != 7 || k.Reason != "access denied" {
		t.Errorf("a job that keeps seven: %+v", k)
	}
	for range 2 {
		if err := publish(); err != nil {
			t.Fatal(err)
		}
	}
	if k := a.kept(t, arn); k.State != batholith.KeptPublishing {
		t.Errorf("a job that is being published: %+v", k)
	}
	if err := discard(); err != nil {
		t.Fatal(err)
	}
	if k := a.kept(t, arn); k.State != batholith.KeptNone {
		t.Errorf("a job whose results were discarded: %+v", k)
	}
}
