package engine

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// One call of a bucket in twenty fails, before or after its effect, also during the clean-up after a job: nothing is left all the same when
// the end can be seen, or half a minute later where there is no output. Only what was late, sent before the end and seen by the bucket
// afterwards, waits for the sweep.
func TestAnEndAmongFaultsLeavesNothingBehind(t *testing.T) {
	simulate(t, 3, simSetup{}, func(s *simulation) {
		s.count(func() { s.trouble = 1.25 })
		done := s.create("m0", 24*time.Hour, 100, 50)
		stopped := s.create("m0", 24*time.Hour, 200)
		invalid := s.create("m0", 24*time.Hour, 200)
		if err := s.bucket.Put(t.Context(), invalid.input(0), []byte("no JSON\n")); err != nil {
			s.t.Fatal(err)
		}
		w := s.worker("w")
		w.start()
		s.over(invalid, 40*time.Second)
		s.halt(w, stopped)
		s.over(stopped, 0)
		s.over(done, 0)
		s.calm()
		time.Sleep(longEnough)
		synctest.Wait()
		w.stop()
		s.check(done, batholith.StatusCompleted)
		s.check(stopped, batholith.StatusStopped, batholith.StatusCompleted)
		s.check(invalid, batholith.StatusFailed)
		s.checkTraces(w)
	})
}

// over waits until the job is over and some time longer, and demands that what it wrote for itself is gone then.
func (s *simulation) over(j *simJob, longer time.Duration) {
	s.t.Helper()
	for {
		job, err := s.db.Find(s.t.Context(), j.id)
		if err != nil {
			s.t.Fatal(err)
		}
		if job.Status.Terminal() {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	job, _ := s.db.Find(s.t.Context(), j.id)
	time.Sleep(longer)
	for o, err := range s.bucket.List(s.t.Context(), "out/"+j.id+"/") {
		if err != nil {
			s.t.Fatal(err)
		}
		// A second is the way from the clean-up to the terminal status, which the database refuses now and then.
		if strings.Contains(o.Key, batholith.InternalFolder+"/") && o.Modified.Before(job.Ended.Add(-time.Second)) {
			s.t.Errorf("%s is there %s after job %s was %s; it was written %s before that", o.Key, longer, j.id, job.Status, job.Ended.Sub(o.Modified))
		}
	}
}
