package lifecycle

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// another has a worker of another process live for a while and claim the publication of the job.
func (w *world) another(final bool, lives time.Duration) {
	w.t.Helper()
	if err := w.store.Heartbeat(w.t.Context(), "another", time.Now().Add(lives)); err != nil {
		w.t.Error(err)
	}
	if _, err := w.store.ClaimPublication(w.t.Context(), id, "another", final, time.Now()); err != nil {
		w.t.Error(err)
	}
}

// over demands that the job is Completed, and its final output published so often.
func (w *world) over(published int) {
	w.t.Helper()
	synctest.Wait()
	if j := w.job(id); j.Status != batholith.StatusCompleted || len(w.finals(id)) != published {
		w.t.Errorf("the job is %s, published %v; want %d times", j.Status, w.finals(id), published)
	}
}

func TestAFinalPublisherWaitsForTheOneThatLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(10))
		w.create(id, "a.jsonl")
		defer w.start()()
		w.reach(batholith.StatusInProgress)
		w.another(true, time.Minute)
		w.commit(id, 5, 0)
		time.Sleep(time.Minute - time.Second)
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusInProgress || len(w.finals(id)) > 0 {
			t.Errorf("the job is %s, published %v, while another publishes it", j.Status, w.finals(id))
		}
		time.Sleep(lookEvery + time.Second)
		w.over(1)
	})
}

func TestAFinalPublisherDoesNotWaitForAPartialOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(10))
		w.create(id, "a.jsonl")
		defer w.start()()
		w.reach(batholith.StatusInProgress)
		w.another(false, time.Hour)
		w.commit(id, 5, 0)
		w.over(1)
	})
}

func TestPartialOutputIsLeftToTheWorkerThatPublishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(10_000))
		w.create(id, "a.jsonl")
		defer w.start()()
		w.reach(batholith.StatusInProgress)
		w.another(false, time.Minute)
		w.commit(id, firstPartial, 0)
		synctest.Wait()
		if w.partial[id] > 0 {
			t.Error("partial output was published while another publishes")
		}
		time.Sleep(time.Minute)
		w.commit(id, 2*firstPartial, 0)
		synctest.Wait()
		if w.partial[id] != 1 {
			t.Errorf("partial output was published %d times after the other's lease had run out", w.partial[id])
		}
	})
}

func TestAPublicationThatFailsIsYielded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(10))
		w.create(id, "a.jsonl")
		defer w.start()()
		w.at(func(name string) error {
			if name == "publish" {
				return errors.New("503")
			}
			return nil
		})
		w.reach(batholith.StatusInProgress)
		w.commit(id, 5, 0) // this worker's lease lasts an hour
		synctest.Wait()
		w.at(nil)
		w.another(true, time.Second)
		time.Sleep(lookEvery + time.Second)
		w.over(1)
	})
}

// The status of a job is that of the output which was published last, whoever believes to be its publisher.
func TestATerminalMoveIsThePublishersOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(10))
		w.create(id, "a.jsonl")
		defer w.start()()
		w.reach(batholith.StatusInProgress)
		taken := false
		w.at(func(name string) error {
			if name == "publish" && !taken {
				taken = true
				if err := w.store.Heartbeat(t.Context(), "w", time.Now()); err != nil { // it was frozen for longer than its lease
					t.Error(err)
				}
				w.another(true, time.Minute)
			}
			return nil
		})
		w.commit(id, 5, 0)
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusInProgress {
			t.Errorf("the job became %s by a worker whose publication another had taken over", j.Status)
		}
		time.Sleep(time.Minute + lookEvery)
		w.over(2)
	})
}

func TestAJobThatIsOverIsCleanedUpTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.look = time.Hour
		w.put("a.jsonl", records(10))
		w.create(id, "a.jsonl")
		stop := w.start()
		w.reach(batholith.StatusInProgress)
		w.commit(id, 5, 0)
		cleaned := func(want int, when string) {
			t.Helper()
			synctest.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.cleaned[id] != want {
				t.Errorf("cleaned up %d times %s, want %d", w.cleaned[id], when, want)
			}
		}
		cleaned(1, "at the end")
		time.Sleep(sweepAfter - time.Second)
		cleaned(1, "before it was due")
		stop()
		stop = w.start()
		cleaned(2, "at the start of a process")
		time.Sleep(sweepEvery)
		cleaned(3, "when it was due")
		time.Sleep(2 * time.Hour)
		stop()
		stop = w.start()
		cleaned(3, "in the end")
		stop()
	})
}

func TestASecondCleanUpThatFailedIsMadeLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.look = time.Hour
		w.put("a.jsonl", records(10))
		w.create(id, "a.jsonl")
		defer w.start()()
		w.reach(batholith.StatusInProgress)
		w.commit(id, 5, 0)
		synctest.Wait()
		w.at(func(name string) error {
			if name == "clean" {
				return errors.New("503")
			}
			return nil
		})
		time.Sleep(time.Hour)
		left := func() int {
			jobs, err := w.store.Unswept(t.Context(), time.Now())
			if err != nil {
				t.Error(err)
			}
			return len(jobs)
		}
		if left() != 1 {
			t.Error("a clean-up that failed is not repeated")
		}
		w.at(nil)
		time.Sleep(sweepEvery)
		synctest.Wait()
		if left() != 0 {
			t.Error("the job is to be cleaned up for ever")
		}
	})
}
