package results

import (
	"context"
	"fmt"
	"io"
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

// A merge waits for a distant bucket once for a piece of all its segments together, and not once for each: the next piece of each is on its way while the
// present ones are merged. What it reads is the same, and nothing is on its way when it is closed, wherever it ended. A bucket nearby is not read ahead.
func TestAMergeWaitsForFewRoundsOfCalls(t *testing.T) {
	const trip = 50 * time.Millisecond
	const segments, each, long = 16, 40, 16 << 10
	const pieces = segments * each * long / mergeMemory // of a segment
	b := objecttest.NewMemory()
	var segs []batholith.Segment
	for s := range segments {
		var outcomes []batholith.Outcome
		for i := range int64(each) {
			outcomes = append(outcomes, longOutcome(i*segments+int64(s), long))
		}
		segs = append(segs, longSegment(t, b, fmt.Sprint(s), outcomes...))
	}
	for _, c := range []struct {
		trip        time.Duration
		read, calls int // records, and calls at most
	}{{0, segments * each, segments * (pieces + 2)}, {trip, segments * each, segments * (pieces + 2)}, {trip, 1, 2 * segments}} {
		synctest.Test(t, func(t *testing.T) {
			far := objecttest.NewDistant(b, c.trip)
			began := time.Now()
			m, err := merge(t.Context(), far, segs, false)
			if err != nil {
				t.Fatal(err)
			}
			for record := range int64(c.read) {
				if o, err := m.next(); err != nil || o.Key.Record != record || len(o.Line) != long {
					t.Fatalf("record %d: %v", record, err)
				}
			}
			if c.read > 1 {
				if _, err := m.next(); err != io.EOF {
					t.Errorf("after the last record: %v", err)
				}
			}
			m.close()
			calls, atOnce := far.Calls()
			if rounds := int(time.Since(began) / trip); rounds > pieces+2 || calls > c.calls || atOnce > opensAtOnce {
				t.Errorf("%d records from %v away: %d rounds of %d calls, %d at once; each segment has %d pieces", c.read, c.trip, rounds, calls, atOnce, pieces)
			}
			synctest.Wait()
			if again, _ := far.Calls(); again != calls {
				t.Error("it reads on when it is closed")
			}
		})
	}
}
