package lifecycle

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// keepsFive brings a job of ten records to its end with five outcomes and an output that cannot be written, and returns it.
func (w *world) keepsFive(t *testing.T) batholith.Job {
	t.Helper()
	w.put("a.jsonl", records(10))
	w.create(id, "a.jsonl")
	w.reach(batholith.StatusInProgress)
	w.at(func(name string) error {
		if name == "publish" {
			return fmt.Errorf("put the output: %w", batholith.ErrAccessDenied)
		}
		return nil
	})
	w.life.Fault(id, fmt.Errorf("put a segment: %w", batholith.ErrAccessDenied))
	time.Sleep(time.Hour) // access that is denied is tried for a while
	w.reach(batholith.StatusFailed)
	return w.job(id)
}

func TestFinishedResultsAreKeptWhenTheOutputCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		stop := w.start()
		j := w.keepsFive(t)
		if j.Kept != batholith.KeptWaiting || !strings.Contains(j.Message, "5 finished records are kept") || !strings.Contains(j.Message, "batholith publish "+id) {
			t.Fatalf("kept %q, message %q", j.Kept, j.Message)
		}
		stop()
		defer w.start()() // another process, with its sweeps
		time.Sleep(time.Hour)
		synctest.Wait()
		if w.cleaned[id] != 0 {
			t.Errorf("kept results were cleaned up %d times", w.cleaned[id])
		}
		if len(w.finals(id)) != 0 {
			t.Error("results were published that nobody asked for")
		}
	})
}

func TestKeptResultsArePublishedWhenSomebodyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.start()()
		w.keepsFive(t)
		ask := func() batholith.Job {
			if err := w.store.PublishKept(t.Context(), account, id); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			return w.job(id)
		}
		if j := ask(); j.Kept != batholith.KeptWaiting || !strings.Contains(j.Note, "access denied") {
			t.Errorf("access is still denied; kept %q, note %q", j.Kept, j.Note)
		}
		w.at(nil)
		j := ask()
		if j.Kept != "" || j.Status != batholith.StatusFailed || !strings.Contains(j.Message, "were published afterwards") || strings.Contains(j.Message, "are kept") {
			t.Errorf("kept %q, %s, message %q", j.Kept, j.Status, j.Message)
		}
		if got := fmt.Sprint(w.finals(id)); got != "[Failed]" {
			t.Errorf("published as %s", got)
		}
		if w.cleaned[id] == 0 {
			t.Error("nothing was cleaned up after the publication")
		}
		if left, err := w.store.Segments(t.Context(), id); err != nil || len(left) > 0 {
			t.Errorf("%d segments stay in the database: %v", len(left), err)
		}
	})
}

// The process dies at every step from the end of the job to that of the publication.
func TestAPublicationOfKeptResultsSurvivesAnyProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		stop := w.start()
		w.keepsFive(t)
		if err := w.store.PublishKept(t.Context(), account, id); err != nil {
			t.Fatal(err)
		}
		blocked := make(chan struct{})
		w.at(func(name string) error {
			if name == "publish" {
				<-blocked
				return context.Canceled
			}
			return nil
		})
		time.Sleep(time.Minute)
		close(blocked)
		stop()
		w.at(nil)
		w.forget()
		stop = w.start()
		time.Sleep(time.Minute)
		synctest.Wait()
		stop()
		if j := w.job(id); j.Kept != "" {
			t.Errorf("the next process does not go on with the publication: kept %q, note %q", j.Kept, j.Note)
		}
	})
}

func TestDiscardedResultsAreCleanedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.start()()
		w.keepsFive(t)
		if err := w.store.DiscardKept(t.Context(), account, id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second) // at once, and not with the next sweep
		synctest.Wait()
		if w.cleaned[id] == 0 {
			t.Error("discarded results are still there")
		}
		if j := w.job(id); j.Kept != "" || !strings.Contains(j.Message, "5 finished records were discarded") || strings.Contains(j.Message, "batholith publish") {
			t.Errorf("kept %q, message %q", j.Kept, j.Message)
		}
		if left, err := w.store.Segments(t.Context(), id); err != nil || len(left) > 0 {
			t.Errorf("%d segments stay in the database: %v", len(left), err)
		}
	})
}

// shelfSpy is told of failing jobs.
type shelfSpy struct {
	ever bool
	mu   sync.Mutex
	now  map[string]bool
}

func (s *shelfSpy) Shelve(job string)   { s.set(job, true) }
func (s *shelfSpy) Unshelve(job string) { s.set(job, false) }

func (s *shelfSpy) set(job string, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ever = s.ever || on
	s.now[job] = on
}

func (s *shelfSpy) has(job string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now[job]
}

// A stop waits for the job's last outcomes; those that the bucket refuses must not hold it up for ever.
func TestAStopDoesNotWaitForABucketThatRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		spy := &shelfSpy{now: map[string]bool{}}
		w.shelf = spy
		defer w.start()()
		w.put("a.jsonl", records(10))
		w.create(id, "a.jsonl")
		w.reach(batholith.StatusInProgress)
		w.at(func(name string) error {
			if name == "halt" && !spy.has(id) { // outcomes are pending, and the bucket refuses them
				w.life.Fault(id, fmt.Errorf("put a segment: %w", batholith.ErrAccessDenied))
				return fmt.Errorf("flush: %w", batholith.ErrAccessDenied)
			}
			return nil
		})
		if err := w.life.Stop(t.Context(), account, id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		w.reach(batholith.StatusStopped)
		if spy.has(id) {
			t.Error("a job that is over is still taken for failing")
		}
	})
}
