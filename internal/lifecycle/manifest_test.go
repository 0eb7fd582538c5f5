package lifecycle

import (
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
