package results

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// sized is an outcome with a line of so many bytes.
func sized(c batholith.Chunk, i, bytes int) batholith.Outcome {
	o := outcome(c, i, "a")
	o.Line = []byte(`{"x":"` + strings.Repeat("x", bytes) + `"}` + "\n")
	return o
}

// One outcome waits for room. The other is settled and its queue leaves the map in the same moment: nothing else will free any room.
func TestAnAddThatWaitsForRoomIsWokenByTheLastThatLeaves(t *testing.T) {
	for range 20 { // who comes first is a matter of luck
		synctest.Test(t, func(t *testing.T) {
			world := newWorld()
			world.plan("job", 10, 10)
			w, stop := start(t, newProcess(world, nil), t.TempDir(), "a", func(o *Options) { o.PendingBytes = 1 << 20 })
			defer stop()
			chunk := world.lease("job", "a")[0]
			added := make(chan error)
			for i := range 4 { // each is as much as may be pending
				go func() { added <- w.Add(t.Context(), sized(chunk, i, 900<<10)) }()
			}
			for range 4 {
				select {
				case err := <-added:
					if err != nil {
						t.Error(err)
					}
				case <-time.After(time.Minute):
					t.Fatal("Add waits, though nothing is pending")
				}
			}
		})
	}
}

// An answer that waits for room is journalled already, and is kept when its context ends: neither a kill nor a stop costs it.
func TestAnAnswerThatWaitsForRoomIsJournalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("job", 10, 30)
		p := newProcess(world, func(op string) verdict { return map[bool]verdict{true: failBefore}[op == "Put"] })
		dir := t.TempDir()
		w, stop := start(t, p, dir, "a", func(o *Options) { o.PendingBytes = 64 << 10 })
		chunk := world.lease("job", "a")[0]
		ctx, cancel := context.WithCancel(t.Context())
		added := make(chan error, 8)
		for i := range 8 {
			go func() { added <- w.Add(ctx, sized(chunk, i, 30<<10)) }()
		}
		synctest.Wait()
		if n := len(added); n == 8 {
			t.Error("no Add waits for room")
		}
		left := t.TempDir()
		if err := os.CopyFS(left, os.DirFS(dir)); err != nil { // killed here
			t.Fatal(err)
		}
		cancel()
		for range 8 {
			if err := <-added; err != nil {
				t.Errorf("an outcome that is in the journal is refused: %v", err)
			}
		}
		stop() // or stopped here
		for _, dir := range []string{left, dir} {
			files, _ := journalFiles(dir)
			n := 0
			for _, path := range files {
				if err := replay(path, func(string, batholith.Outcome) error { n++; return nil }); err != nil {
					t.Error(err)
				}
			}
			if n != 8 {
				t.Errorf("%d of 8 outcomes are in the journal", n)
			}
		}
	})
}

// A disk hangs in the middle of a write. A few outcomes are not waited for; the others are safe when their Add returns, since they are
// committed by then. When the bucket is away as well, no more slots are given back.
func TestADiskThatHangsCostsAFewOutcomesAtMost(t *testing.T) {
	for _, away := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			world := newWorld()
			world.plan("job", 200, 200)
			p := newProcess(world, func(op string) verdict { return map[bool]verdict{true: failBefore}[op == "Put" && away] })
			w, stop := start(t, p, t.TempDir(), "a", nil)
			hang := make(chan struct{})
			w.journal.disk.write = func(f *os.File, b []byte) (int, error) { <-hang; return f.Write(b) }
			chunk := world.lease("job", "a")[0]
			var returned atomic.Int64
			for i := range 200 {
				go func() {
					if err := w.Add(t.Context(), outcome(chunk, i, "a")); err != nil {
						t.Error(err)
					}
					returned.Add(1)
				}()
			}
			began := time.Now()
			for range 100 {
				time.Sleep(20 * time.Millisecond)
				if n := returned.Load() - world.job("job", "").Counts.Processed; n > maxLoose {
					t.Fatalf("%d outcomes are neither in the journal nor committed, and their Adds have returned", n)
				}
			}
			if n := returned.Load(); away && n != maxLoose || !away && n != 200 {
				t.Errorf("the bucket is away: %v; %d Adds have returned %s after the disk began to hang", away, n, time.Since(began))
			}
			close(hang)
			time.Sleep(time.Millisecond)
			if n := returned.Load(); n != 200 {
				t.Errorf("%d Adds have returned after the disk went on", n)
			}
			stop()
		})
	}
}

// Outcomes that were not waited for are safe once they are committed, and as many others need not be waited for then.
func TestTheOutcomesThatAreNotWaitedForAreCountedUntilTheyAreSafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("job", 200, 200)
		w, stop := start(t, newProcess(world, nil), t.TempDir(), "a", nil)
		hang := make(chan struct{})
		w.journal.disk.write = func(f *os.File, b []byte) (int, error) { <-hang; return f.Write(b) }
		chunk := world.lease("job", "a")[0]
		for round := range 3 {
			began := time.Now()
			var adds sync.WaitGroup
			for i := range maxLoose {
				adds.Go(func() {
					if err := w.Add(t.Context(), outcome(chunk, round*maxLoose+i, "a")); err != nil {
						t.Error(err)
					}
				})
			}
			adds.Wait()
			if n := world.job("job", "").Counts.Processed; n != int64(round*maxLoose) || time.Since(began) != diskTime {
				t.Errorf("round %d: %d outcomes are committed after %s, when the Adds return", round, n, time.Since(began))
			}
			time.Sleep(2 * time.Second) // they are committed
		}
		close(hang)
		stop()
	})
}

// held is the journal of a job that cannot commit: one file more than there should be, each with one outcome.
func held(t *testing.T) (w *Writer, dir string, chunk batholith.Chunk, stop func()) {
	world := newWorld()
	world.plan("job", 100, 100)
	chunk = world.lease("job", "a")[0]
	p := newProcess(world, func(op string) verdict { return map[bool]verdict{true: failBefore}[op == "Put"] })
	dir = t.TempDir()
	w, stop = start(t, p, dir, "a", nil)
	w.journal.size = 10 // every outcome has a file
	for i := range maxFiles {
		if err := w.Add(t.Context(), outcome(chunk, i, "a")); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Wait()
	return w, dir, chunk, stop
}

// onDisk lists the records that the journal files in a folder hold.
func onDisk(t *testing.T, dir string) map[int64]bool {
	t.Helper()
	found := map[int64]bool{}
	files, _ := journalFiles(dir)
	for _, f := range files {
		if err := replay(f, func(_ string, o batholith.Outcome) error { found[o.Key.Record] = true; return nil }); err != nil {
			t.Error(err)
		}
	}
	return found
}

// An outcome of an old journal file is let go of there only when its copy is on the disk: not while the disk refuses everything, refuses to
// write the copy, or to sync it.
func TestAJournalledOutcomeStaysOnTheDiskWhateverTheDiskDoes(t *testing.T) {
	for name, harm := range map[string]func(j *journal){
		"refused a moment ago": func(j *journal) { j.muted = time.Now().Add(time.Hour) },
		"refuses to write": func(j *journal) {
			j.disk.write = func(f *os.File, b []byte) (int, error) {
				n, _ := f.Write(b[:len(b)/2])
				return n, errors.New("no space left on device")
			}
		},
		"refuses to sync": func(j *journal) { j.disk.sync = func(*os.File) error { return errors.New("input/output error") } },
		"takes a second to sync": func(j *journal) {
			j.disk.sync = func(f *os.File) error { time.Sleep(time.Second); return f.Sync() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, dir, chunk, stop := held(t)
				time.Sleep(time.Second) // what is written is synced
				w.journal.mu.Lock()
				harm(w.journal)
				w.journal.mu.Unlock()
				for i := range 20 {
					w.Add(t.Context(), outcome(chunk, 50+i, "a"))
					synctest.Wait()
					found := onDisk(t, dir)
					for r := range int64(maxFiles) {
						if !found[r] {
							t.Fatalf("record %d was journalled, is not committed, and is in no file after %d more", r, i+1)
						}
					}
				}
				time.Sleep(10 * time.Second)
				stop()
				if found := onDisk(t, dir); len(found) < maxFiles {
					t.Errorf("%d outcomes in the end", len(found))
				}
			})
		})
	}
}

// What an old file held is read from the copies, and the file goes.
func TestTheOldestJournalFileGoesWhenItsOutcomesAreCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, dir, chunk, stop := held(t)
		defer stop()
		if err := w.Add(t.Context(), outcome(chunk, maxFiles, "a")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if _, err := os.Stat(filepath.Join(dir, "0000000000.log")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the oldest of %d files is still there: %v", maxFiles+1, err)
		}
		if found := onDisk(t, dir); len(found) != maxFiles+1 {
			t.Errorf("%d of %d outcomes are on the disk", len(found), maxFiles+1)
		}
	})
}
