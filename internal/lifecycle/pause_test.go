package lifecycle

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/store"
)

// pause and resume change the job through a store, and wait until everybody has seen it.
func (w *world) pause(s interface {
	PauseJob(ctx context.Context, account, id, reason string) error
}) {
	w.t.Helper()
	if err := s.PauseJob(w.t.Context(), account, id, "for a test"); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

func (w *world) resume(s *store.Store) {
	w.t.Helper()
	if err := s.ResumeJob(w.t.Context(), account, id); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

// rests demands whether the job rests or is sent, in this status.
func (w *world) rests(want bool, status batholith.Status) {
	w.t.Helper()
	w.is(id, status)
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, sent := w.enqueued[id]; sent == want || want && w.rested[id] == 0 {
		w.t.Errorf("sent: %t, rested %d times; want it to rest: %t", sent, w.rested[id], want)
	}
	if w.halted[id] != nil {
		w.t.Errorf("its requests in flight were called off: %v", w.halted[id])
	}
}

func TestAPausedJobRestsUntilItIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.look = time.Hour
		defer w.sending()()
		for range 2 {
			w.pause(w.store)
			w.rests(true, batholith.StatusInProgress)
			time.Sleep(90 * time.Minute)
			w.rests(true, batholith.StatusInProgress)
			w.resume(w.store.Store)
			w.rests(false, batholith.StatusInProgress)
		}
		w.commit(id, 5, 0)
		w.is(id, batholith.StatusCompleted)
	})
}

func TestAPauseOfAnotherProcessIsSeenWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.options, w.look = sharing, time.Hour
		defer w.sending()()
		other := w.beside()
		w.pause(other)
		time.Sleep(time.Second)
		w.rests(true, batholith.StatusInProgress)
		w.resume(other)
		time.Sleep(time.Second)
		w.rests(false, batholith.StatusInProgress)
	})
}

func TestAPausedJobIsValidatedAndNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(10))
		w.create(id, "a.jsonl")
		w.pause(w.store)
		stop := w.start()
		w.rests(true, batholith.StatusScheduled)
		stop()
		w.forget()
		defer w.start()() // a restart changes nothing
		w.rests(true, batholith.StatusScheduled)
		w.resume(w.store.Store)
		w.rests(false, batholith.StatusScheduled)
	})
}

func TestTheTimeOfAPausedJobGoesOn(t *testing.T) {
	for status, end := range map[batholith.Status]batholith.Status{
		batholith.StatusScheduled:  batholith.StatusExpired,
		batholith.StatusInProgress: batholith.StatusPartiallyCompleted,
	} {
		t.Run(string(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.look = time.Hour
				w.put("a.jsonl", records(20))
				w.create(id, "a.jsonl")
				defer w.start()()
				w.reach(status)
				w.pause(w.store)
				time.Sleep(24*time.Hour - time.Minute)
				w.rests(true, status)
				time.Sleep(2 * time.Minute)
				w.is(id, end)
				if want := map[bool]int{true: 1}[end == batholith.StatusPartiallyCompleted]; len(w.finals(id)) != want {
					t.Errorf("published %v", w.finals(id))
				}
			})
		})
	}
}

func TestAPausedJobEndsAsAnyOther(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(w *world)
		want batholith.Status
	}{
		"stopped":                   {func(w *world) { w.life.Stop(w.t.Context(), account, id) }, batholith.StatusStopped},
		"it cannot go on":           {func(w *world) { w.life.Fault(id, errors.New("the input is gone")) }, batholith.StatusFailed},
		"its last outcome comes in": {func(w *world) { w.life.Committed(id, batholith.Counts{Total: 5, Processed: 5, Succeeded: 5}) }, batholith.StatusCompleted},
	} {
		for _, landed := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.look = time.Hour
					if !landed {
						w.lands = make(chan struct{}) // a request is in flight when the end comes
					}
					w.put("a.jsonl", records(5))
					w.create(id, "a.jsonl")
					defer w.start()()
					synctest.Wait()
					if err := w.life.Begin(t.Context(), id); err != nil {
						t.Fatal(err)
					}
					commit := w.commitLater(id, 5)
					if landed && c.want == batholith.StatusCompleted { // and its commit is not known here yet
						commit()
					}
					w.pause(w.store)
					if !landed && c.want == batholith.StatusCompleted {
						commit()
					}
					c.end(w)
					w.is(id, c.want)
				})
			})
		}
	}
}

func TestAPauseThatEndsByItselfEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.look = time.Hour
		defer w.sending()()
		if err := w.store.PauseJobUntil(t.Context(), id, "the budget of a day", time.Now().Add(10*time.Hour)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10*time.Hour - time.Second)
		w.rests(true, batholith.StatusInProgress)
		time.Sleep(2 * time.Second)
		w.rests(false, batholith.StatusInProgress)
	})
}
