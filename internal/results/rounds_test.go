package results

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/memory"
	"github.com/batholith/batholith/internal/object/objecttest"
)

// The files of a job go to the bucket beside one another, in part and at the end, and so does what a clean-up aborts: a publication of a hundred
// small files waits for a bucket far away a few times, and not once for every file. So many calls are on their way at once and no more, and
// without memory one after the other. What is written is the same.
func TestAPublicationOfManyFilesWaitsForFewRoundsOfCalls(t *testing.T) {
	const trip = 50 * time.Millisecond
	const files, each = 100, 3
	batches := (files + closesAtOnce - 1) / closesAtOnce
	for name, c := range map[string]struct {
		room   *memory.Budget
		floor  int64
		atOnce int
		rounds int // of a file whose output is written by so many calls
	}{
		"with memory":    {memory.NewBudget(1 << 30), closeFloor, closesAtOnce, batches},
		"without memory": {memory.NewBudget(0), 0, 2, files},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				sizes := make([]int, files)
				for i := range sizes {
					sizes[i] = each
				}
				w.plan("job", each, sizes...)
				fill(t, w, "job", 20, nil, 1) // 15 segments
				p := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w})
				var far objecttest.Distant
				p.o.Open = func(ctx context.Context, job string) (blob.Place, error) {
					place, err := w.open(ctx, job)
					far = objecttest.NewDistant(place.Output, trip)
					place.Output = far
					return place, err
				}
				p.closing = c.room.Account(c.floor)
				// rounds does something and tells how often it waited for the bucket, and checks how many calls were on their way at once.
				rounds := func(do func() error) int {
					t.Helper()
					began := time.Now()
					if err := do(); err != nil {
						t.Fatal(err)
					}
					took := int(time.Since(began) / trip)
					if _, atOnce := far.Calls(); atOnce > max(c.atOnce, opensAtOnce) {
						t.Errorf("%d calls at once", atOnce)
					}
					return took
				}
				const opens = 2 // the segments' first pieces
				got := rounds(func() error {
					_, err := p.Publish(t.Context(), w.job("job", batholith.StatusInProgress), 1, false)
					return err
				})
				if want := opens + 3*c.rounds; got > want { // begin, part, completion
					t.Errorf("a partial output waited %d times, want %d", got, want)
				}
				if diff := cmp.Diff(w.expected("job"), w.output("job")); diff != "" {
					t.Error(diff)
				}
				got = rounds(func() error {
					_, err := p.Publish(t.Context(), w.job("job", batholith.StatusCompleted), 1, true)
					return err
				})
				if want := opens + c.rounds + 3; got > want { // one call for each, and a manifest in parts
					t.Errorf("the output waited %d times, want %d", got, want)
				}
				if diff := cmp.Diff(w.expected("job"), w.output("job")); diff != "" {
					t.Error(diff)
				}
				for i := range files {
					id, err := w.bucket.CreateUpload(t.Context(), w.jobs["job"].files[i].Output)
					if err == nil {
						err = w.PutUpload(t.Context(), batholith.Upload{Job: "job", Key: w.jobs["job"].files[i].Output, UploadID: id})
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				got = rounds(func() error { return p.Clean(t.Context(), w.job("job", batholith.StatusCompleted)) })
				if want := batches + 3; got > want { // the uploads, their list, the list of what is hidden, its deletion
					t.Errorf("the clean-up waited %d times, want %d", got, want)
				}
				if n := len(w.bucket.OpenUploads()); n != 0 {
					t.Errorf("%d uploads are open", n)
				}
			})
		})
	}
}
