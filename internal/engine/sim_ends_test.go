package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// through runs a worker that is killed now and then, does something to the job meanwhile, and lets everything come to its end.
func (s *simulation) through(meanwhile func(w *worker)) *worker {
	s.t.Helper()
	w := s.worker(fmt.Sprint("w", s.workers)) // a disk of its own
	s.workers++
	w.start()
	for range s.plan.IntN(3) {
		time.Sleep(s.some(4 * time.Second))
		w.leave()
		w.start()
	}
	time.Sleep(s.some(8 * time.Second))
	meanwhile(w)
	for range s.plan.IntN(3) {
		time.Sleep(s.some(2 * time.Second))
		w.leave()
		w.start()
	}
	time.Sleep(s.some(2 * time.Second))
	s.calm()
	time.Sleep(longEnough)
	synctest.Wait()
	w.leave() // what the end of a process would tidy away has to be tidy already, or be found by the next
	w.start()
	time.Sleep(time.Minute)
	w.stop()
	return w
}

// halt asks for a stop as a client does: again, until it has an answer.
func (s *simulation) halt(w *worker, j *simJob) {
	s.t.Helper()
	var over *batholith.MoveError
	for {
		err := w.p.engine.life.Stop(s.t.Context(), simAccount, j.id)
		if err == nil || errors.As(err, &over) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// validated waits until the job has a plan.
func (s *simulation) validated(j *simJob) {
	s.t.Helper()
	for {
		job, err := s.db.Find(s.t.Context(), j.id)
		if err != nil {
			s.t.Fatal(err)
		}
		if rank(job.Status) >= rank(batholith.StatusScheduled) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func TestAJobThatIsStoppedKeepsTheLaws(t *testing.T) {
	simulate(t, 1, simSetup{}, func(s *simulation) {
		j := s.create("m0", 24*time.Hour, 1+s.plan.IntN(300), 1+s.plan.IntN(300))
		other := s.create("m0", 24*time.Hour, 50)
		w := s.through(func(w *worker) { s.halt(w, j) })
		s.check(j, batholith.StatusStopped, batholith.StatusCompleted)
		s.check(other, batholith.StatusCompleted)
		s.checkTraces(w)
	})
}

func TestAJobWhoseTimeEndsKeepsTheLaws(t *testing.T) {
	simulate(t, 1, simSetup{}, func(s *simulation) {
		j := s.create("m0", s.some(16*time.Second), 1+s.plan.IntN(300), 1+s.plan.IntN(300))
		if s.plan.IntN(3) == 0 {
			s.away(model, time.Minute) // it never begins
		}
		w := s.through(func(*worker) {})
		s.check(j, batholith.StatusExpired, batholith.StatusPartiallyCompleted, batholith.StatusCompleted)
		s.checkTraces(w)
	})
}

func TestAJobWhoseInputChangesKeepsTheLaws(t *testing.T) {
	simulate(t, 1, simSetup{}, func(s *simulation) {
		j := s.create("m0", 24*time.Hour, 600, 200)
		w := s.through(func(*worker) {
			if s.plan.IntN(2) == 0 {
				s.put(j, 0, 600, " and more")
				return
			}
			s.validated(j) // before, the file would be none of the job's
			if err := s.bucket.Delete(s.t.Context(), j.input(1)); err != nil {
				s.t.Fatal(err)
			}
		})
		if done, err := s.db.Find(s.t.Context(), j.id); err == nil && done.Counts.Total == 600 {
			j.files = j.files[:1] // the other was gone before it was listed
		}
		s.check(j, batholith.StatusFailed, batholith.StatusCompleted)
		s.checkTraces(w)
	})
}

func TestAJobWhoseOutputIsDeniedKeepsTheLaws(t *testing.T) {
	simulate(t, 1, simSetup{}, func(s *simulation) {
		j := s.create("m0", 24*time.Hour, 600, 200)
		w := s.through(func(*worker) { s.count(func() { s.denied = true }) })
		s.check(j, batholith.StatusFailed, batholith.StatusCompleted)
		s.count(func() { s.denied = false }) // the role gets its rights back
		s.publishKept(w, j)
		s.check(j, batholith.StatusFailed, batholith.StatusCompleted)
		s.checkTraces(w)
	})
}

// publishKept has what is kept of a job published, by a worker that is killed or stopped meanwhile, and makes sure that nothing of it is lost.
func (s *simulation) publishKept(w *worker, j *simJob) {
	s.t.Helper()
	before, err := s.db.Find(s.t.Context(), j.id)
	if err != nil {
		s.t.Fatal(err)
	}
	w.start()
	s.t.Logf("kept %q, %d of %d records", before.Kept, before.Counts.Processed, before.Counts.Total)
	if before.Kept != "" {
		if err := s.db.PublishKept(s.t.Context(), simAccount, j.id); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(s.some(500 * time.Millisecond))
		w.leave()
		w.start()
	}
	time.Sleep(time.Hour) // with the second clean-up
	synctest.Wait()
	w.stop()
	after, err := s.db.Find(s.t.Context(), j.id)
	if err != nil {
		s.t.Fatal(err)
	}
	lines := int64(0)
	for n := range j.files {
		lines += int64(s.lines(j, n))
	}
	if after.Kept != "" || after.Counts != before.Counts || before.Kept != "" && lines != after.Counts.Processed {
		s.t.Errorf("of %d finished records that were kept (%q), %d are published: kept %q, note %q", before.Counts.Processed, before.Kept, lines, after.Kept, after.Note)
	}
}

func TestAJobThatNeverLeavesValidationIsNotSent(t *testing.T) {
	simulate(t, 1, simSetup{}, func(s *simulation) {
		j := s.create("m0", 24*time.Hour, 200)
		if err := s.bucket.Put(t.Context(), j.input(1), []byte("no JSON\n")); err != nil {
			s.t.Fatal(err)
		}
		w := s.through(func(*worker) {})
		s.check(j, batholith.StatusFailed)
		s.checkTraces(w)
	})
}

// Somebody else deletes what the job had committed, or writes over it: the job fails, unless it did not need that any more.
func TestAJobWhoseSegmentIsDestroyedKeepsTheLaws(t *testing.T) {
	simulate(t, 1, simSetup{}, func(s *simulation) {
		j := s.create("m0", 24*time.Hour, 600, 200)
		named := ""
		w := s.through(func(*worker) {
			segs, err := s.db.Segments(s.t.Context(), j.id)
			if err != nil || len(segs) == 0 {
				return
			}
			named = segs[s.plan.IntN(len(segs))].Key
			body, _ := s.bucket.Object(named)
			if n := s.plan.IntN(3); n == 0 || len(body) == 0 {
				err = s.bucket.Delete(s.t.Context(), named)
			} else if n == 1 {
				err = s.bucket.Put(s.t.Context(), named, body[:s.plan.IntN(len(body))])
			} else {
				body[s.plan.IntN(len(body))] ^= 1 << s.plan.IntN(8)
				err = s.bucket.Put(s.t.Context(), named, body)
			}
			if err != nil {
				s.t.Fatal(err)
			}
		})
		s.check(j, batholith.StatusFailed, batholith.StatusCompleted)
		if job, err := s.db.Find(s.t.Context(), j.id); err != nil || job.Status == batholith.StatusFailed && !strings.Contains(job.Message, named) {
			s.t.Errorf("the job failed and does not name %s: %q, %v", named, job.Message, err)
		}
		s.checkTraces(w)
	})
}
