package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// A manifest is written after the end of its job was decided. Until it is, nothing of what the output was made of is deleted: when it can
// never be written, the job keeps its results, whatever it was to end as.
func TestAJobWhoseManifestCannotBeWrittenKeepsItsResults(t *testing.T) {
	for name, restarts := range map[string]bool{"one process": false, "the next process": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.pending = []byte("the manifest")
				stop := w.start()
				w.put("a.jsonl", records(10))
				w.create(id, "a.jsonl")
				w.reach(batholith.StatusInProgress)
				w.at(func(name string) error {
					if name == "announce" {
						return fmt.Errorf("put the manifest: %w", batholith.ErrAccessDenied)
					}
					return nil
				})
				w.commit(id, 5, 0) // the other five
				time.Sleep(time.Minute)
				synctest.Wait()
				if j := w.job(id); j.Ending != batholith.StatusCompleted || w.cleaned[id] != 0 {
					t.Fatalf("while it is denied the job ends as %q and was cleaned up %d times", j.Ending, w.cleaned[id])
				}
				if restarts {
					stop()
					w.forget()
					stop = w.start()
				}
				defer func() { stop() }()
				time.Sleep(time.Hour) // access that is denied is tried for a while
				synctest.Wait()
				j := w.job(id)
				if j.Status != batholith.StatusFailed || j.Kept != batholith.KeptWaiting || !strings.Contains(j.Message, "10 finished records are kept") {
					t.Fatalf("the job is %s, kept %q: %s", j.Status, j.Kept, j.Message)
				}
				w.at(nil)
				if err := w.store.PublishKept(t.Context(), account, id); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if j := w.job(id); j.Kept != "" || fmt.Sprint(w.announced[id]) != "[the manifest]" {
					t.Errorf("published on demand: kept %q, manifests %q", j.Kept, w.announced[id])
				}
			})
		})
	}
}

// A process that takes an end over may have read the job long before: what was decided since holds.
func TestResultsThatAreKeptMeanwhileAreNotCleanedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(10))
		w.create(id, "a.jsonl")
		stop := w.start()
		w.reach(batholith.StatusInProgress)
		stop()
		epoch := w.decide(batholith.StatusCompleted, "", []byte("the manifest"), time.Minute)
		kept := false
		w.at(func(name string) error {
			if name == "halt" && !kept { // the job was read
				kept = true
				return errors.Join(w.store.DecideKept(t.Context(), id, epoch, batholith.StatusInProgress, "kept by another"),
					w.store.YieldPublication(t.Context(), id, epoch))
			}
			return nil
		})
		defer w.start()()
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusFailed || j.Kept != batholith.KeptWaiting || j.Message != "kept by another" {
			t.Errorf("the job is %s, kept %q: %s", j.Status, j.Kept, j.Message)
		}
		if w.cleaned[id] != 0 || len(w.announced[id]) != 0 {
			t.Errorf("kept results were cleaned up %d times; manifests %q", w.cleaned[id], w.announced[id])
		}
	})
}

// What one worker cannot write, another may: its bucket may be another's only.
func TestAManifestThatCannotBeWrittenForNowIsYielded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.pending = []byte("the manifest")
		defer w.endsWithout("announce")()
		w.another(true, time.Second)
		time.Sleep(lookEvery + time.Second)
		w.over(1)
		if got := fmt.Sprint(w.announced[id]); got != "[the manifest]" {
			t.Errorf("manifests %s", got)
		}
	})
}

// An end that failed after its manifest was written has been cleaned up after: there is nothing left to keep, and nothing to be written.
func TestAManifestIsWrittenOnceInAProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.pending = []byte("the manifest")
		w.put("a.jsonl", records(10))
		w.create(id, "a.jsonl")
		w.options = func(o *Options) { o.Store = &failingEnd{Store: w.store, fails: 3} }
		defer w.start()()
		w.at(func(name string) error {
			if name == "announce" && len(w.announced[id]) > 0 {
				return fmt.Errorf("put the manifest: %w", batholith.ErrAccessDenied)
			}
			return nil
		})
		w.reach(batholith.StatusInProgress)
		w.commit(id, 5, 0)
		time.Sleep(time.Hour)
		w.over(1)
		if got := fmt.Sprint(w.announced[id]); got != "[the manifest]" {
			t.Errorf("manifests %s", got)
		}
	})
}

// failingEnd is a database that does not take the end of a job a few times.
type failingEnd struct {
	Store
	fails int
}

func (s *failingEnd) End(ctx context.Context, id string, epoch int64, at, sweep time.Time) (bool, error) {
	if s.fails--; s.fails >= 0 {
		return false, errors.New("the database is away")
	}
	return s.Store.End(ctx, id, epoch, at, sweep)
}
