package growth

import (
	"os/exec"
	"testing"
	"time"

	"github.com/batholith/batholith/internal/pgtest"
	"github.com/batholith/batholith/tests/harness"
)

// The database is recovered to a moment in the middle of a job, which has ended since. The bucket shows that: nothing is sent again.
func TestARecoveredDatabaseRepeatsNothingThatTheBucketShows(t *testing.T) {
	harness.EmbeddedS3Only(t)
	const records = 300
	pg := pgtest.Archiving(t)
	address := pg.Database(t)
	w := harness.NewWitness(t, 5*time.Millisecond)
	s := harness.New(t, model(w))
	s.Flags("--store", address)
	s.Start()
	base := pg.BaseBackup(t)
	s.Put("in/a.jsonl", harness.Prompts(records))
	job := s.Create("in/a.jsonl")
	for late, sent := time.Now().Add(2*time.Minute), 0; sent < records/4; sent, _, _ = w.Requests() {
		if time.Now().After(late) {
			t.Fatal("the job does not begin")
		}
		time.Sleep(5 * time.Millisecond)
	}
	pg.RestorePoint(t, "middle")
	complete(t, s, job, records)
	before, _, _ := w.Requests()
	if code := s.Stop(); code != 0 {
		t.Fatalf("the server ends with %d: %s", code, s.Log())
	}

	pg.Recover(t, base, "middle")
	if out, err := exec.CommandContext(t.Context(), harness.Binary(t), "reconcile", "--data", s.Data, "--store", address).CombinedOutput(); err != nil {
		t.Fatalf("reconcile: %v: %s", err, out)
	}
	s.Start()
	complete(t, s, job, records)
	if all, _, _ := w.Requests(); all != before {
		t.Errorf("%d requests after the recovery", all-before)
	}
}
