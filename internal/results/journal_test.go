package results

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// journalOf writes outcomes to a journal as a process does that is killed then, and returns the folder.
func journalOf(t testing.TB, outcomes []batholith.Outcome) string {
	t.Helper()
	return sealedJournalOf(t, nil, outcomes)
}

func sealedJournalOf(t testing.TB, keys Keys, outcomes []batholith.Outcome) string {
	t.Helper()
	dir := t.TempDir()
	j, err := openJournal(dir, "a", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	j.keys = keys
	for i := range outcomes {
		j.append(&outcomes[i])
	}
	j.write()
	for _, f := range j.files {
		f.file.Close()
	}
	return dir
}

func replayed(path string) (all []batholith.Outcome, err error) {
	err = replay(path, func(worker string, o batholith.Outcome) error {
		if worker != "a" {
			return fmt.Errorf("worker %q", worker)
		}
		all = append(all, o)
		return nil
	})
	return all, err
}

func some(n int) []batholith.Outcome {
	var all []batholith.Outcome
	for i := range n {
		all = append(all, outcome(batholith.Chunk{Job: "job", N: i / 10, File: i % 3, First: int64(i), Epoch: 1 << 40}, i, "a"))
	}
	return all
}

func TestAJournalReadsBackUpToWhereItIsCut(t *testing.T) {
	want := some(5)
	path := filepath.Join(journalOf(t, want), "0000000000.log")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	last := -1
	for cut := range len(whole) + 1 {
		for _, tail := range [][]byte{nil, make([]byte, 5), make([]byte, 5000)} { // zeros: the file grew, its bytes did not arrive
			if err := os.WriteFile(path, append(bytes.Clone(whole[:cut]), tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := replayed(path)
			if err != nil && cut >= headBytes {
				t.Fatalf("cut at %d of %d, %d zeros: %v", cut, len(whole), len(tail), err)
			}
			if tail == nil && len(got) < last || len(got) > len(want) {
				t.Fatalf("cut at %d: %d outcomes after %d", cut, len(got), last)
			}
			if diff := cmp.Diff(want[:len(got)], got[:len(got):len(got)]); diff != "" && len(got) > 0 {
				t.Fatalf("cut at %d (-want +got):\n%s", cut, diff)
			}
			last = max(last, len(got))
		}
	}
	if last != len(want) {
		t.Errorf("%d of %d outcomes in the whole file", last, len(want))
	}
}

func TestTheJournalStaysSmallThoughAJobCannotCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("dead", 100, 30)
		world.plan("well", 1000, 3000)
		world.bucket.Fault = func(op, key string) (bool, error) {
			return !strings.HasPrefix(key, "out/dead"), map[bool]error{true: batholith.ErrNoBucket}[strings.HasPrefix(key, "out/dead")]
		}
		dir := t.TempDir()
		w, stop := start(t, newProcess(world, nil), dir, "a", nil)
		w.journal.size = 64 << 10
		dead, well := world.lease("dead", "a"), world.lease("well", "a")
		most, padding := 0, strings.Repeat("x", 2000)
		for n, c := range well {
			for i := range c.Count {
				o := outcome(c, i, "a")
				o.Line = []byte(padding)
				if err := w.Add(t.Context(), o); err != nil {
					t.Fatal(err)
				}
				if i%100 == 0 {
					if err := w.Add(t.Context(), outcome(dead[0], n*10+i/100, "a")); err != nil {
						t.Fatal(err)
					}
					w.Flush(t.Context(), "well")
					synctest.Wait()
					files, _ := journalFiles(dir)
					most = max(most, len(files))
				}
			}
		}
		if most > maxFiles+5 {
			t.Errorf("%d journal files for %d bytes pending", most, 30*100)
		}
		world.bucket.Fault = nil
		stop()
		if n := world.jobs["dead"].counts.Processed + world.jobs["well"].counts.Processed; n != 3030 {
			t.Errorf("%d outcomes counted", n)
		}
		if files, _ := journalFiles(dir); len(files) > 0 {
			t.Errorf("left: %v", files)
		}
	})
}

func TestADeadBucketDoesNotHoldUpTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("dead", 10, 30)
		world.plan("well", 10, 30)
		var outcomes []batholith.Outcome
		for _, job := range []string{"dead", "well"} {
			for _, c := range world.lease(job, "a") {
				for i := range c.Count {
					outcomes = append(outcomes, outcome(c, i, "a"))
				}
			}
		}
		dir := journalOf(t, outcomes)
		var broken atomic.Bool
		broken.Store(true)
		p := newProcess(world, nil)
		begin := time.Now()
		_, stop := start(t, p, dir, "a", func(o *Options) {
			o.Open = func(ctx context.Context, job string) (blob.Place, error) {
				if job == "dead" && broken.Load() {
					return blob.Place{}, batholith.ErrAccessDenied
				}
				return p.open(ctx, job)
			}
		})
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("the start took %v", took)
		}
		if n := world.job("well", "").Counts.Processed; n != 30 {
			t.Errorf("%d outcomes of the other job are committed", n)
		}
		broken.Store(false)
		time.Sleep(time.Minute)
		stop()
		if n := world.job("dead", "").Counts.Processed; n != 30 {
			t.Errorf("%d outcomes are committed after the bucket came back", n)
		}
		_, stop = start(t, newProcess(world, nil), dir, "a", nil)
		stop()
		if files, _ := journalFiles(dir); len(files) > 0 {
			t.Errorf("left at the next start: %v", files)
		}
	})
}

func TestADiskThatRefusesDoesNotStopTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("job", 10, 30)
		dir := filepath.Join(t.TempDir(), "journal")
		w, stop := start(t, newProcess(world, nil), dir, "a", nil)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		for _, c := range world.lease("job", "a") {
			for i := range c.Count {
				if err := w.Add(t.Context(), outcome(c, i, "a")); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Flush(t.Context(), "job"); err != nil {
				t.Fatal(err)
			}
		}
		stop()
		if n := world.jobs["job"].counts.Processed; n != 30 {
			t.Errorf("%d outcomes counted", n)
		}
	})
}

func TestADiskThatFallsBehindCostsNoMemoryWithoutBound(t *testing.T) {
	j, err := openJournal(t.TempDir(), "a", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	o := some(1)[0]
	o.Line = make([]byte, 100_000)
	fill := func() (taken int) {
		for range 1000 {
			if f, _ := j.append(&o); f != nil {
				j.release(f, 1)
				taken++
			}
		}
		return taken
	}
	if n := fill(); n < 50 || n > maxUnwritten/100_000+2 {
		t.Errorf("%d outcomes of 100 kB are queued for a disk that stands still", n)
	}
	j.write()
	if n := fill(); n < 50 || j.unwritten < 50*100_000 {
		t.Errorf("%d outcomes are taken when the disk has caught up", n)
	}
	j.write()
	j.end()
	if j.unwritten != 0 {
		t.Errorf("%d bytes unwritten in the end", j.unwritten)
	}
}

func FuzzTakeOutcome(f *testing.F) {
	for _, o := range some(3) {
		f.Add(appendOutcome(nil, &o))
		o.Source = nil
		f.Add(appendOutcome(nil, &o))
	}
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, rest, err := takeOutcome(b, version, &sources{})
		if err != nil {
			return
		}
		again, _, err := takeOutcome(appendOutcome(nil, &o), version, &sources{})
		if diff := cmp.Diff(o, again); err != nil || diff != "" || len(rest) > len(b) {
			t.Errorf("%x: %v (-want +got):\n%s", b, err, diff)
		}
	})
}
