package engine

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// lease is how long a worker's claims outlive its last heartbeat, and slack how much longer its successor may take to see that.
const (
	lease = 5 * time.Second
	slack = 12 * time.Second
)

// inBothWeathers runs a test where database and bucket are calm, and where they fail now and then. The models fail in both.
func inBothWeathers(t *testing.T, test func(s *simulation)) {
	t.Run("calm", func(t *testing.T) { simulate(t, 1, simSetup{models: 2, calm: true}, test) })
	t.Run("faults", func(t *testing.T) { simulate(t, 1, simSetup{models: 2}, test) })
}

// pair starts two workers on the same database and bucket, and jobs for both.
func (s *simulation) pair() (a, b *worker) {
	for i := range 3 {
		s.create(fmt.Sprint("m", i%2), 24*time.Hour, 100+s.plan.IntN(500), 1+s.plan.IntN(200))
	}
	s.shared = true
	a, b = s.worker("a"), s.worker("b")
	a.start()
	b.start()
	time.Sleep(time.Second + s.some(6*time.Second))
	return a, b
}

// finished waits for the jobs to be complete.
func (s *simulation) finished() {
	s.t.Helper()
	time.Sleep(longEnough)
	synctest.Wait()
	for _, j := range s.jobs {
		s.check(j, batholith.StatusCompleted)
	}
}

func TestAWorkerTakesOverFromOneThatIsGone(t *testing.T) {
	inBothWeathers(t, func(s *simulation) {
		a, b := s.pair()
		a.leave()
		died := time.Now()
		s.calm()
		s.finished()
		for _, j := range s.jobs {
			done, err := s.db.Find(s.t.Context(), j.id)
			// The records that were left are at most all of them, at the pace of one worker.
			if most := lease + slack + time.Minute; err != nil || done.Ended.Sub(died) > most {
				s.t.Errorf("job %s ended %s after a worker died, want at most %s (%v)", j.id, done.Ended.Sub(died), most, err)
			}
		}
		b.stop()
		s.checkTraces(a, b)
	})
}

func TestAWorkerThatWasFrozenSpoilsNothing(t *testing.T) {
	inBothWeathers(t, func(s *simulation) {
		a, b := s.pair()
		for range 1 + s.plan.IntN(2) {
			a.p.freeze(lease + s.some(20*time.Second))
			time.Sleep(s.some(40 * time.Second))
		}
		s.calm()
		s.finished()
		a.stop()
		b.stop()
		s.checkTraces(a, b)
	})
}

func TestAStopReachesEveryWorker(t *testing.T) {
	inBothWeathers(t, func(s *simulation) {
		a, b := s.pair()
		s.halt(a, s.jobs[0])
		time.Sleep(time.Second)
		b.leave()
		b.start()
		s.calm()
		time.Sleep(longEnough)
		synctest.Wait()
		s.check(s.jobs[0], batholith.StatusStopped, batholith.StatusCompleted)
		s.check(s.jobs[1], batholith.StatusCompleted)
		s.check(s.jobs[2], batholith.StatusCompleted)
		a.stop()
		b.stop()
		s.checkTraces(a, b)
	})
}

// Both workers publish the same jobs, die, freeze and come back, and what they had on its way to the bucket arrives all the same.
func TestTwoWorkersThroughKillsAndLateWritesPublishOneEnd(t *testing.T) {
	simulate(t, 1, simSetup{models: 2}, func(s *simulation) {
		a, b := s.pair()
		if s.plan.IntN(2) == 0 {
			s.halt(a, s.jobs[0])
		}
		for range 2 + s.plan.IntN(5) {
			w := []*worker{a, b}[s.plan.IntN(2)]
			if s.plan.IntN(2) == 0 {
				w.leave()
				time.Sleep(s.some(10 * time.Second))
				w.start()
			} else {
				w.p.freeze(s.some(15 * time.Second))
			}
			time.Sleep(s.some(8 * time.Second))
		}
		s.calm()
		time.Sleep(longEnough)
		synctest.Wait()
		for _, j := range s.jobs {
			s.check(j, batholith.StatusStopped, batholith.StatusCompleted)
		}
		a.stop()
		b.stop()
		s.checkTraces(a, b)
	})
}
