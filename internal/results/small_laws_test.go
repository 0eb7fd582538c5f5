package results

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// A clean-up aborts the uploads that the store knows, and those that only the bucket knows. One that is gone already is passed over; any
// other error ends the clean-up, and what it has not done is done the next time.
func TestACleanUpThatCannotAbortAnUploadIsRepeatedAndOneThatIsGoneIsNothing(t *testing.T) {
	for _, known := range []bool{true, false} {
		world := newWorld()
		world.plan("job", 10, 10)
		key := "out/job/0.jsonl.out"
		ids := []string{}
		for range 3 {
			id, err := world.bucket.CreateUpload(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
			if known {
				if err := world.PutUpload(t.Context(), batholith.Upload{Job: "job", Key: key, UploadID: id}); err != nil {
					t.Fatal(err)
				}
			}
		}
		p := NewPublisher(PublisherOptions{SmallManifest: -1, Store: world, Open: world.open})
		broken := errors.New("500 InternalError")
		world.bucket.Fault = func(op, _ string) (bool, error) {
			return op != "AbortUpload", map[bool]error{true: broken}[op == "AbortUpload"]
		}
		if err := p.Clean(t.Context(), batholith.Job{ID: "job"}); !errors.Is(err, broken) {
			t.Errorf("noted: %v; aborting fails, and the clean-up says %v", known, err)
		}
		if n := len(world.bucket.OpenUploads()); n != len(ids) || known && len(world.uploads) != len(ids) {
			t.Errorf("noted: %v; %d uploads are open and %d noted after a clean-up that failed", known, n, len(world.uploads))
		}
		world.bucket.Fault = func(op, _ string) (bool, error) {
			return true, map[bool]error{true: batholith.ErrNoObject}[op == "AbortUpload"] // it happened before
		}
		if err := p.Clean(t.Context(), batholith.Job{ID: "job"}); err != nil {
			t.Errorf("noted: %v; the uploads are gone, and the clean-up says %v", known, err)
		}
		if n := len(world.bucket.OpenUploads()); n != 0 || len(world.uploads) != 0 {
			t.Errorf("noted: %v; %d uploads are open and %d noted after a clean-up", known, n, len(world.uploads))
		}
	}
}

// An fsync costs the disk's other users time: there is one for what was written, and none while nothing is.
func TestAnIdleJournalSyncsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("job", 10, 10)
		p := newProcess(world, func(op string) verdict { return map[bool]verdict{true: failBefore}[op == "Put"] })
		w, stop := start(t, p, t.TempDir(), "a", nil)
		defer stop()
		var syncs atomic.Int64
		w.journal.disk.sync = func(f *os.File) error { syncs.Add(1); return f.Sync() }
		chunk := world.lease("job", "a")[0]
		for i := range 3 {
			if err := w.Add(t.Context(), outcome(chunk, i, "a")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if n := syncs.Load(); n != int64(i+1) {
				t.Fatalf("%d syncs after %d outcomes, a second apart", n, i+1)
			}
		}
	})
}

// A journal file that is full goes when the last of its outcomes is committed, though nothing is appended any more.
func TestAFullJournalFileGoesWithItsLastOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("job", 10, 10)
		dir := t.TempDir()
		w, stop := start(t, newProcess(world, nil), dir, "a", nil)
		defer stop()
		w.journal.size = 10 // every outcome has a file
		chunk := world.lease("job", "a")[0]
		for i := range 3 {
			if err := w.Add(t.Context(), outcome(chunk, i, "a")); err != nil {
				t.Fatal(err)
			}
		}
		if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 3 {
			t.Errorf("files %v", files)
		}
		time.Sleep(2 * time.Second)
		if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 0 {
			t.Errorf("all outcomes are committed, and %v are left", files)
		}
	})
}

// Whatever there is to commit is committed at once when it is enough for a segment, and when somebody waits for it.
func TestACommitDoesNotWaitForTheSecondWhenThereIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("job", 10, 10)
		w, stop := start(t, newProcess(world, nil), t.TempDir(), "a", nil)
		defer stop()
		chunk := world.lease("job", "a")[0]
		began := time.Now()
		committed := func(n int64) time.Duration {
			for world.job("job", "").Counts.Processed < n {
				time.Sleep(time.Millisecond)
			}
			return time.Since(began)
		}
		for i := range 3 {
			if err := w.Add(t.Context(), sized(chunk, i, segmentBytes/2)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if took := committed(2); took > 100*time.Millisecond {
			t.Errorf("enough for a segment was committed after %s", took)
		}
		began = time.Now()
		if err := w.Add(t.Context(), outcome(chunk, 5, "a")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		if err := w.Flush(t.Context(), "job"); err != nil || time.Since(began) > 100*time.Millisecond {
			t.Errorf("Flush took %s (%v)", time.Since(began), err)
		}
		began = time.Now()
		if err := w.Add(t.Context(), outcome(chunk, 6, "a")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		w.Drop("job")
		for w.pendingOf("job") > 0 {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("a job that was given up let go of its outcomes after %s", took)
		}
	})
}

// pendingOf counts the outcomes of a job that are not settled.
func (w *Writer) pendingOf(job string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if q := w.queues[job]; q != nil {
		return len(q.items)
	}
	return 0
}

// One record of a chunk has an outcome already, so a commit of the whole chunk is refused. The others of the same chunk count.
func TestARefusalCostsOnlyTheOutcomesThatItIsAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("job", 10, 10)
		w, stop := start(t, newProcess(world, nil), t.TempDir(), "a", nil)
		defer stop()
		chunk := world.lease("job", "a")[0]
		world.mu.Lock()
		world.jobs["job"].chunks[0].Done.Set(4)
		world.mu.Unlock()
		for i := range 10 {
			if err := w.Add(t.Context(), outcome(chunk, i, "a")); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(t.Context(), "job"); err != nil {
			t.Fatal(err)
		}
		if n := world.job("job", "").Counts.Processed; n != 9 {
			t.Errorf("%d outcomes counted, want 9", n)
		}
	})
}

// A bucket that fails in the middle of a segment passes; only bytes that came and are wrong are damage, which ends a job.
func TestAFaultOnTheWayToALongFrameIsNotDamage(t *testing.T) {
	away := errors.New("503 SlowDown")
	for name, r := range map[string]io.Reader{
		"at its head":          iotest.ErrReader(away),
		"behind its head":      io.MultiReader(bytes.NewReader([]byte{0, 0, 8, 0, 1, 2, 3, 4}), iotest.ErrReader(away)),
		"within its first key": io.MultiReader(bytes.NewReader(append([]byte{0, 0, 8, 0, 1, 2, 3, 4}, make([]byte, frameStart/2)...)), iotest.ErrReader(away)),
	} {
		f := &frames{r: r, left: 4 * longFrame}
		if _, _, err := f.begin(); !errors.Is(err, away) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
