package results

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/object/objecttest"
)

// denied has a bucket refuse every write.
func denied(b *objecttest.Memory) {
	b.Fault = func(op, key string) (bool, error) {
		switch op {
		case "Put", "CreateUpload", "UploadPart", "CompleteUpload", "Delete":
			return false, fmt.Errorf("%s %s: %w", op, key, batholith.ErrAccessDenied)
		}
		return true, nil
	}
}

// shelvedSegments are the keys of a job's committed segments that lie on a shelf.
func (w *world) shelvedSegments(t *testing.T, job string) (keys []string) {
	segs, err := w.Segments(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range segs {
		if strings.HasPrefix(s.Key, shelfScheme) {
			keys = append(keys, s.Key)
		}
	}
	return keys
}

func TestSegmentsOfAFailingJobThatItsBucketRefusesAreCommittedOnTheShelf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world, disk := newWorld(), objecttest.NewMemory()
		world.plan("job", 10, 40)
		w, stop := start(t, newProcess(world, nil), t.TempDir(), "a", func(o *Options) {
			o.Shelf = disk
			o.OnFault = func(string, error) {}
		})
		chunks := world.lease("job", "a")
		random := rand.New(rand.NewPCG(1, 2))
		ask(t, w, chunks[:2], "a", random)
		if err := w.Flush(t.Context(), "job"); err != nil { // these are in the bucket
			t.Fatal(err)
		}
		denied(world.bucket)
		ask(t, w, chunks[2:], "a", random)
		w.Shelve("job")
		if err := w.Flush(t.Context(), "job"); err != nil {
			t.Fatal(err)
		}
		stop()
		if n := world.job("job", batholith.StatusFailed).Counts.Processed; n != 40 {
			t.Fatalf("%d of 40 outcomes are committed", n)
		}
		if len(world.shelvedSegments(t, "job")) == 0 {
			t.Fatal("no segment is on the shelf")
		}

		p := NewPublisher(PublisherOptions{SmallManifest: -1, Store: world, Open: world.open, Worker: "a", Shelf: disk})
		job := world.job("job", batholith.StatusFailed)
		if _, err := p.Publish(t.Context(), job, 1, true); err == nil {
			t.Fatal("a bucket that refuses everything took the output")
		}
		world.bucket.Fault = nil // the policy is mended
		if _, err := p.Publish(t.Context(), job, 1, true); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(world.expected("job"), world.output("job")); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
		if err := p.Clean(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		for o := range disk.List(t.Context(), "") {
			t.Errorf("%s stays on the shelf after the clean-up", o.Key)
		}
	})
}

func TestAWorkerThatDiesBeforeItShelvesDoesSoAtItsNextStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world, disk, dir := newWorld(), objecttest.NewMemory(), t.TempDir()
		world.plan("job", 10, 10)
		denied(world.bucket)
		p := newProcess(world, nil)
		w, stop := start(t, p, dir, "a", func(o *Options) { o.Shelf = disk })
		ask(t, w, world.lease("job", "a"), "a", rand.New(rand.NewPCG(1, 2)))
		p.kill()
		stop()

		var running atomic.Pointer[Writer]
		w, stop = start(t, newProcess(world, nil), dir, "a", func(o *Options) {
			o.Shelf = disk
			o.OnFault = func(job string, _ error) { // it is told again with every attempt
				if w := running.Load(); w != nil {
					w.Shelve(job)
				}
			}
		})
		running.Store(w)
		if err := w.Flush(t.Context(), "job"); err != nil {
			t.Fatal(err)
		}
		stop()
		if n := world.job("job", batholith.StatusFailed).Counts.Processed; n != 10 {
			t.Errorf("%d of 10 outcomes are committed", n)
		}
	})
}

func TestASegmentOnAnotherWorkersShelfIsNotTakenForLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("job", 10, 10)
		denied(world.bucket)
		w, stop := start(t, newProcess(world, nil), t.TempDir(), "a", func(o *Options) { o.Shelf = objecttest.NewMemory() })
		ask(t, w, world.lease("job", "a"), "a", rand.New(rand.NewPCG(1, 2)))
		w.Shelve("job")
		if err := w.Flush(t.Context(), "job"); err != nil {
			t.Fatal(err)
		}
		stop()
		world.bucket.Fault = nil
		for _, other := range []PublisherOptions{{Worker: "b", Shelf: objecttest.NewMemory()}, {}} {
			other.Store, other.Open = world, world.open
			_, err := NewPublisher(other).Publish(context.Background(), world.job("job", batholith.StatusFailed), 1, true)
			if err == nil || strings.Contains(err.Error(), batholith.ErrOutcomesLost.Error()) || !strings.Contains(err.Error(), "worker a") {
				t.Errorf("publishing from worker %q: %v", other.Worker, err)
			}
		}
	})
}
