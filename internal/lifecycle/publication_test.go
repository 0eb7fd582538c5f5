package lifecycle

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// another has a worker of another process live for a while and claim the publication of the job.
func (w *world) another(final bool, lives time.Duration) (epoch int64) {
	w.t.Helper()
	if err := w.store.Heartbeat(w.t.Context(), "another", time.Now().Add(lives)); err != nil {
		w.t.Error(err)
	}
	epoch, err := w.store.ClaimPublication(w.t.Context(), id, "another", final, time.Now())
	if err != nil {
		w.t.Error(err)
	}
	return epoch
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
		defer w.sending()()
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
		defer w.sending()()
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
		if w.partials(id) > 0 {
			t.Error("partial output was published while another publishes")
		}
		time.Sleep(time.Minute)
		w.commit(id, 2*firstPartial, 0)
		synctest.Wait()
		if w.partials(id) != 1 {
			t.Errorf("partial output was published %d times after the other's lease had run out", w.partials(id))
		}
	})
}

func TestAPublicationThatFailsIsYielded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.endsWithout("publish")()
		w.another(true, time.Second)
		time.Sleep(lookEvery + time.Second)
		w.over(1)
	})
}

// The status of a job is that of the output which was published last, whoever believes to be its publisher.
func TestATerminalMoveIsThePublishersOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.sending()()
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
		defer w.sending()()
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

// decide has another process decide the end of the job, whose output it has published, and be gone. The manifest is what it has not
// written; nil: nothing.
func (w *world) decide(to batholith.Status, message string, manifest []byte, lives time.Duration) (epoch int64) {
	w.t.Helper()
	ctx := w.t.Context()
	err := w.store.Heartbeat(ctx, "another", time.Now().Add(lives))
	if err == nil {
		epoch, err = w.store.SealToPublish(ctx, id, "", "another")
	}
	if err == nil {
		err = w.store.Decide(ctx, id, epoch, w.job(id).Status, to, message, manifest)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return epoch
}

func TestAnEndedJobLeavesOnlyItsOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(10))
		w.create(id, "a.jsonl")
		defer w.start()()
		var seen []batholith.Job
		w.at(func(name string) error {
			if name == "clean" {
				seen = append(seen, w.job(id))
			}
			return nil
		})
		w.reach(batholith.StatusInProgress)
		w.commit(id, 5, 0)
		w.over(1)
		if len(seen) != 1 || seen[0].Status != batholith.StatusInProgress || seen[0].Ending != batholith.StatusCompleted || seen[0].Message != "" {
			t.Errorf("cleaned up while the job was %+v", seen)
		}
		if left, err := w.store.Unclean(t.Context()); err != nil || len(left) > 0 {
			t.Errorf("%d jobs left to clean up, %v", len(left), err)
		}
	})
}

func TestADecidedJobIsEndedAndNotPublishedAgain(t *testing.T) {
	for _, to := range []batholith.Status{batholith.StatusCompleted, batholith.StatusPartiallyCompleted, batholith.StatusFailed} {
		t.Run(string(to), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.put("a.jsonl", records(10))
				w.create(id, "a.jsonl")
				stop := w.start()
				w.reach(batholith.StatusInProgress)
				stop()
				w.forget()
				w.decide(to, "by another", nil, time.Minute)
				defer w.start()()
				time.Sleep(time.Minute - time.Second)
				synctest.Wait()
				if j := w.job(id); j.Status != batholith.StatusInProgress {
					t.Errorf("the job became %s while its publisher lives", j.Status)
				}
				time.Sleep(lookEvery + time.Second)
				synctest.Wait()
				if j := w.job(id); j.Status != to || j.Message != "by another" || len(w.finals(id)) > 0 || w.cleaned[id] == 0 || w.queued(id) {
					t.Errorf("the job is %s (%s), published %v, cleaned up %d times, enqueued: %v", j.Status, j.Message, w.finals(id), w.cleaned[id], w.queued(id))
				}
			})
		})
	}
}

func TestAJobWhoseEndIsDecidedIsNotStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.sending()()
		w.decide(batholith.StatusCompleted, "", nil, time.Minute)
		var over *batholith.MoveError
		if err := w.life.Stop(t.Context(), account, id); !errors.As(err, &over) || over.Status != batholith.StatusCompleted {
			t.Errorf("a stop was answered %v", err)
		}
	})
}

// A publisher that was left behind reads segments that the other has deleted. They are not lost.
func TestADecidedJobHasLostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.sending()()
		w.at(func(name string) error {
			if name == "publish" && w.job(id).Ending == "" {
				if err := w.store.Heartbeat(t.Context(), "w", time.Now()); err != nil {
					t.Error(err)
				}
				w.decide(batholith.StatusCompleted, "by another", nil, time.Minute)
				return fmt.Errorf("segment s: %w", batholith.ErrOutcomesLost)
			}
			return nil
		})
		w.commit(id, 5, 0)
		time.Sleep(2 * time.Minute)
		w.over(0)
		if j := w.job(id); j.Message != "by another" || w.partials(id) > 0 {
			t.Errorf("the job says %q, salvaged %d times", j.Message, w.partials(id))
		}
	})
}

// A job fails for one reason, and its output turns out to lack finished records for another: its message has both.
func TestAFailedJobSaysThatFinishedRecordsAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.sending()()
		w.at(func(name string) error {
			if name == "publish" {
				return fmt.Errorf("%w: segment s", batholith.ErrOutcomesLost)
			}
			return nil
		})
		w.life.Fault(id, fmt.Errorf("read the input: %w", batholith.ErrNoObject))
		w.reach(batholith.StatusFailed)
		if j := w.job(id); !strings.Contains(j.Message, "read the input") || !strings.Contains(j.Message, batholith.ErrOutcomesLost.Error()+": segment s") || w.partials(id) == 0 {
			t.Errorf("the job says %q, salvaged %d times", j.Message, w.partials(id))
		}
	})
}
