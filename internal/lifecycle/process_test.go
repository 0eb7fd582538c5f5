package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
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
		if j := w.job(id); j.Status != batholith.StatusFailed || j.Message != jobFailed+"the input is gone" || w.queued(id) {
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
			if j := w.job(id); j.Status != batholith.StatusFailed || j.Message != jobFailed+"the input is gone" || j.Note != "" || w.queued(id) {
				t.Errorf("noted %q: the job is %s (%q), enqueued: %v", note, j.Status, j.Message, w.queued(id))
			}
		})
	}
}

// A job that fails for no reason that was told is failing all the same, also for the process that comes after.
func TestAJobThatFailsWithoutAReasonFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.sending()()
		stored := ""
		w.at(func(name string) error {
			if name == "publish" {
				stored = w.job(id).Failing
			}
			return nil
		})
		w.life.Fault(id, errors.New(""))
		w.reach(batholith.StatusFailed)
		if stored == "" {
			t.Error("while it is published, nothing says that it is failing")
		}
	})
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
		time.Sleep(time.Second)
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
		defer w.sending()()
		w.at(func(name string) error {
			if name == "halt" {
				return w.store.SealFailing(t.Context(), id, "a segment is gone")
			}
			return nil
		})
		w.commit(id, 5, 0)
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusFailed || j.Message != jobFailed+"a segment is gone" {
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
		defer w.sending()()
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
		defer w.sending()()
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

// One call in twenty fails, before or after its effect: the clean-up of a dozen calls is repeated until nothing is left.
func TestACleanUpGoesOnThroughFaults(t *testing.T) {
	for seed := range uint64(15) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.look = time.Hour
			w.put("a.jsonl", records(10))
			w.create(id, "a.jsonl")
			for i := range 40 {
				w.put(fmt.Sprintf("out/%s/.batholith/left-%d", id, i), "x")
			}
			rng := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			w.bucket.Fault = func(op, key string) (bool, error) {
				mu.Lock()
				defer mu.Unlock()
				if (op == "Delete" || op == "List") && rng.IntN(20) == 0 {
					return rng.IntN(2) == 0, errors.New("503 SlowDown")
				}
				return true, nil
			}
			w.options = func(o *Options) { o.Publisher = oneByOne{w} }
			defer w.start()()
			w.reach(batholith.StatusInProgress)
			w.commit(id, 5, 0)
			time.Sleep(cleanTime)
			synctest.Wait()
			if j := w.job(id); j.Status != batholith.StatusCompleted {
				t.Errorf("seed %d: the job is %s (%s)", seed, j.Status, j.Note)
			}
			for _, key := range w.bucket.Keys() {
				if strings.Contains(key, ".batholith/") {
					t.Errorf("seed %d: %s is left", seed, key)
				}
			}
			if left, err := w.store.Unclean(t.Context()); err != nil || len(left) > 0 {
				t.Errorf("seed %d: %d jobs left to clean up, %v", seed, len(left), err)
			}
		})
	}
}

// oneByOne is a publisher that cleans up in the bucket, an object a call.
type oneByOne struct{ *world }

func (o oneByOne) Clean(ctx context.Context, j batholith.Job) error {
	for object, err := range o.bucket.List(ctx, "out/"+j.ID+"/.batholith/") {
		if err == nil {
			err = o.bucket.Delete(ctx, object.Key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A bucket that is dead is not waited for by whoever waits for the output.
func TestACleanUpThatFailsKeepsTheOutputFromNobody(t *testing.T) {
	for _, fault := range []error{errors.New("503"), batholith.ErrAccessDenied, batholith.ErrNoBucket} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.look = time.Hour
			w.put("a.jsonl", records(10))
			w.create(id, "a.jsonl")
			defer w.start()()
			w.at(func(name string) error {
				if name == "clean" {
					return fault
				}
				return nil
			})
			w.reach(batholith.StatusInProgress)
			w.commit(id, 5, 0)
			time.Sleep(cleanTime + time.Second)
			synctest.Wait()
			if j := w.job(id); j.Status != batholith.StatusCompleted {
				t.Errorf("%v: the job is %s", fault, j.Status)
			}
			left, err := w.store.Unclean(t.Context())
			if gone := errors.Is(fault, batholith.ErrNoBucket); err != nil || gone != (len(left) == 0) {
				t.Errorf("%v: %d jobs left to clean up, %v", fault, len(left), err)
			}
			time.Sleep(refusedFor + 2*sweepEvery)
			synctest.Wait()
			left, err = w.store.Unclean(t.Context())
			if given := blob.Permanent(fault); err != nil || given != (len(left) == 0) {
				t.Errorf("%v: a day later %d jobs are left to clean up, %v", fault, len(left), err)
			}
		})
	}
}

// A principal whose bucket hangs does not hold up the clean-up after another's jobs.
func TestASweepOfADeadBucketHoldsUpNobodyElses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.look = time.Hour
		for i := range 100 {
			w.ended(fmt.Sprintf("dead%08d", i), "eve")
		}
		w.ended(id, "ann")
		w.options = func(o *Options) { o.Publisher = hanging{w} }
		defer w.start()()
		time.Sleep(time.Second)
		synctest.Wait()
		left, err := w.store.Unclean(t.Context())
		if err != nil || slices.Contains(left, id) || len(left) != 100 {
			t.Errorf("%d jobs left, %v", len(left), err)
		}
		time.Sleep(sweepFailures*cleanTime + time.Minute)
		if w.cleanedUp() > 2+sweepFailures { // the other job is cleaned up twice
			t.Errorf("%d clean-ups were begun of a bucket that is dead", w.cleanedUp()-2)
		}
	})
}

// hanging is a publisher whose clean-up never comes back for some jobs.
type hanging struct{ *world }

func (h hanging) Clean(ctx context.Context, j batholith.Job) error {
	if err := h.world.Clean(ctx, j); err != nil || j.Owner != "eve" {
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// ended makes a job that ended, and was not cleaned up.
func (w *world) ended(id, owner string) {
	w.t.Helper()
	now := time.Now()
	_, err := w.store.CreateJob(w.t.Context(), batholith.Job{ID: id, Account: account, Owner: owner, Status: batholith.StatusSubmitted,
		Submitted: now, Expires: now.Add(time.Hour), Request: batholith.Request{Name: "n" + id, ModelID: "m"}}, id, 0)
	if err := errors.Join(err, w.store.Move(w.t.Context(), id, batholith.StatusSubmitted, batholith.StatusFailed, "x", now)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) cleanedUp() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, times := range w.cleaned {
		n += times
	}
	return n
}

func TestACleanUpThatFailedIsMadeLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.endsWithout("clean")()
		time.Sleep(2 * sweepEvery)
		if left, err := w.store.Unclean(t.Context()); err != nil || len(left) > 0 {
			t.Errorf("%d jobs left to clean up, %v", len(left), err)
		}
	})
}
