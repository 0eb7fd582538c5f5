package lifecycle

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// After the seal nobody could find out again what is wrong with the job, so it is in the store by then.
func TestWhyAJobFailsIsKeptThroughACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(10))
		w.create(id, "a.jsonl")
		stop := w.start()
		w.reach(batholith.StatusInProgress)
		told := ""
		w.at(func(name string) error {
			if name == "publish" && told == "" {
				told = w.job(id).Failing
			}
			return nil
		})
		w.life.Fault(id, errors.New("the input is gone"))
		synctest.Wait()
		stop()
		if !strings.Contains(told, "the input is gone") || w.job(id).Status != batholith.StatusFailed {
			t.Errorf("before the output was published, the stored reason was %q", told)
		}
	})
}

func TestAJobThatWasFailingWhenTheProcessDiedFailsInTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(10))
		w.create(id, "a.jsonl")
		stop := w.start()
		w.reach(batholith.StatusInProgress)
		stop()
		w.forget()
		err := w.store.Move(t.Context(), id, batholith.StatusInProgress, batholith.StatusInProgress, couldNotGoOn+"the input is gone", time.Now())
		if err := errors.Join(err, w.store.Seal(t.Context(), id)); err != nil {
			t.Fatal(err)
		}
		defer w.start()()
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusFailed || j.Message != couldNotGoOn+"the input is gone" || w.queued(id) {
			t.Errorf("the job is %s (%s), enqueued: %v", j.Status, j.Message, w.queued(id))
		}
	})
}

// What decides is a column of its own: no note takes it away, and no note looks like it.
func TestAFailingJobFailsWhateverIsNotedOnIt(t *testing.T) {
	for _, note := range []string{"", "Records wait: model server x cannot be used.", couldNotGoOn + "something else"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.put("a.jsonl", records(10))
			w.create(id, "a.jsonl")
			stop := w.start()
			w.reach(batholith.StatusInProgress)
			stop()
			w.forget()
			if err := errors.Join(w.store.SealFailing(t.Context(), id, "the input is gone"), w.store.Note(t.Context(), id, note)); err != nil {
				t.Fatal(err)
			}
			defer w.start()()
			synctest.Wait()
			if j := w.job(id); j.Status != batholith.StatusFailed || j.Message != couldNotGoOn+"the input is gone" || j.Note != "" || w.queued(id) {
				t.Errorf("noted %q: the job is %s (%q), enqueued: %v", note, j.Status, j.Message, w.queued(id))
			}
		})
	}
}

func TestAJobIsNotFailingBecauseItsNoteSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(10))
		w.create(id, "a.jsonl")
		stop := w.start()
		w.reach(batholith.StatusInProgress)
		stop()
		w.forget()
		if err := w.store.Note(t.Context(), id, couldNotGoOn+"a model server says so"); err != nil {
			t.Fatal(err)
		}
		defer w.start()()
		synctest.Wait()
		w.commit(id, 5, 0)
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusCompleted {
			t.Errorf("the job is %s (%q)", j.Status, j.Message)
		}
	})
}

// The reason and the seal are one transaction: a process that dies before it leaves a job that goes on, one that dies after it a job that
// fails, and what another finds out about the end meanwhile does not change that.
func TestAFailingJobIsSealedWithItsReasonOrNotAtAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(10))
		w.create(id, "a.jsonl")
		stop := w.start()
		w.reach(batholith.StatusInProgress)
		seen := make(chan batholith.Job, 1)
		crash := make(chan struct{})
		w.at(func(name string) error {
			if name == "halt" {
				seen <- w.job(id)
				<-crash
				return errors.New("the process ends here")
			}
			return nil
		})
		w.life.Fault(id, errors.New("the input is gone"))
		if j := <-seen; j.Failing != "" || j.Message != "" {
			t.Errorf("before the seal: failing %q, message %q", j.Failing, j.Message)
		}
		w.at(nil)
		close(crash)
		synctest.Wait()
		stop()
		if j := w.job(id); j.Status != batholith.StatusFailed || j.Failing != "" {
			t.Errorf("%s, failing %q", j.Status, j.Failing)
		}
	})
}

// Of two workers, one finds all records done and the other that the job cannot go on: what was sealed first decides.
func TestAJobThatAnotherWorkerFoundFailingIsNotCompleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(10))
		w.create(id, "a.jsonl")
		defer w.start()()
		w.reach(batholith.StatusInProgress)
		w.at(func(name string) error {
			if name == "halt" {
				return w.store.SealFailing(t.Context(), id, "a segment is gone")
			}
			return nil
		})
		w.commit(id, 5, 0)
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusFailed || j.Message != couldNotGoOn+"a segment is gone" {
			t.Errorf("the job is %s (%q)", j.Status, j.Message)
		}
	})
}

func TestAProcessThatStartsWhenTheTimeIsOverSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(10))
		w.create(id, "a.jsonl")
		stop := w.start()
		w.reach(batholith.StatusInProgress)
		stop()
		w.forget()
		time.Sleep(25 * time.Hour)
		defer w.start()()
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusPartiallyCompleted || w.queued(id) {
			t.Errorf("the job is %s, enqueued: %v", j.Status, w.queued(id))
		}
	})
}

func TestTheLastRecordMayBeCommittedByAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(10))
		w.create(id, "a.jsonl")
		defer w.start()()
		w.reach(batholith.StatusInProgress)
		w.life = New(Options{}) // the other process, which dies before it can do more
		w.commit(id, 5, 0)
		time.Sleep(lookEvery + time.Second)
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusCompleted {
			t.Errorf("the job is %s", j.Status)
		}
	})
}

func TestAJobThatAnotherProcessEndedIsHalted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(10))
		w.create(id, "a.jsonl")
		defer w.start()()
		w.reach(batholith.StatusInProgress)
		if err := w.store.Move(t.Context(), id, batholith.StatusInProgress, batholith.StatusFailed, "", time.Now()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		if _, halted := w.halted[id]; !halted || w.cleaned[id] == 0 || len(w.published[id]) > 0 {
			t.Errorf("halted: %v, cleaned %d times, published: %v", halted, w.cleaned[id], w.published[id])
		}
	})
}

func TestACleanUpThatFailedIsMadeLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(10))
		w.create(id, "a.jsonl")
		defer w.start()()
		w.at(func(name string) error {
			if name == "clean" {
				return errors.New("503")
			}
			return nil
		})
		w.reach(batholith.StatusInProgress)
		w.commit(id, 5, 0)
		synctest.Wait()
		w.at(nil)
		time.Sleep(2 * sweepEvery)
		if left, err := w.store.Unclean(t.Context()); err != nil || len(left) > 0 {
			t.Errorf("%d jobs left to clean up, %v", len(left), err)
		}
	})
}
