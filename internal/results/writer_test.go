package results

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
)

// ask adds an outcome for every record of the chunks that has none, in a random order.
func ask(t testing.TB, w *Writer, chunks []batholith.Chunk, worker string, random *rand.Rand) {
	t.Helper()
	var all []batholith.Outcome
	for _, c := range chunks {
		for i := range c.Count {
			if !c.Done.Has(i) {
				all = append(all, outcome(c, i, worker))
			}
		}
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, o := range all {
		if err := w.Add(t.Context(), o); err != nil {
			t.Error(err)
		}
	}
}

func publish(t *testing.T, w *world, job string, status batholith.Status) batholith.Manifest {
	t.Helper()
	p := NewPublisher(PublisherOptions{SmallManifest: -1, Store: w, Open: w.open})
	m, err := p.Publish(t.Context(), w.job(job, status), 1, true)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEveryOutcomeIsPublishedOnceInInputOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("job", 10, 35, 0, 101, 1)
		w, stop := start(t, newProcess(world, nil), t.TempDir(), "a", nil)
		ask(t, w, world.lease("job", "a"), "a", rand.New(rand.NewPCG(1, 2)))
		if err := w.Flush(t.Context(), "job"); err != nil {
			t.Fatal(err)
		}
		stop()
		m := publish(t, world, "job", batholith.StatusCompleted)
		if diff := cmp.Diff(world.expected("job"), world.output("job")); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
		if m.ProcessedRecordCount != 137 || m.Batholith.Attempts != 137 || len(m.Batholith.Files) != 4 || m.InputTokenCount != 3*137 {
			t.Errorf("manifest %+v", m)
		}
	})
}

func TestOutcomesAreCommittedWithinASecondWithoutFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("job", 10, 10)
		var commits []time.Duration
		begin := time.Now()
		w, stop := start(t, newProcess(world, nil), t.TempDir(), "a", func(o *Options) {
			o.OnCommit = func(string, batholith.Counts) { commits = append(commits, time.Since(begin)) }
		})
		chunk := world.lease("job", "a")[0]
		for i := range 6 { // at 0, 300, 600, 900, 1200, 1500 ms
			if err := w.Add(t.Context(), outcome(chunk, i, "a")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(300 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		stop()
		if diff := cmp.Diff([]time.Duration{time.Second, 2200 * time.Millisecond}, commits); diff != "" {
			t.Errorf("commits (-want +got):\n%s", diff)
		}
	})
}

func TestShutdownCommitsWhatIsPendingAndEmptiesTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("job", 10, 25)
		dir := t.TempDir()
		w, stop := start(t, newProcess(world, nil), dir, "a", nil)
		ask(t, w, world.lease("job", "a"), "a", rand.New(rand.NewPCG(1, 2)))
		stop()
		if n := world.jobs["job"].counts.Processed; n != 25 {
			t.Errorf("%d outcomes committed", n)
		}
		if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) > 0 {
			t.Errorf("left in the journal: %v", files)
		}
		if err := w.Add(t.Context(), batholith.Outcome{Job: "job"}); !errors.Is(err, batholith.ErrShutdown) {
			t.Errorf("Add after the end: %v", err)
		}
	})
}

func TestARefusedCommitIsNeverReadAndTheRestIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("job", 10, 30)
		w, stop := start(t, newProcess(world, nil), t.TempDir(), "a", nil)
		mine := world.lease("job", "a")
		ask(t, w, mine, "a", rand.New(rand.NewPCG(1, 2)))
		world.mu.Lock()
		world.jobs["job"].chunks[1].Owner, world.jobs["job"].chunks[1].Epoch = "b", 2
		world.mu.Unlock()
		if err := w.Flush(t.Context(), "job"); err != nil {
			t.Fatal(err)
		}
		stop()
		if n := world.jobs["job"].counts.Processed; n != 20 {
			t.Errorf("%d outcomes committed; 20 had a lease", n)
		}
		publish(t, world, "job", batholith.StatusStopped)
		if diff := cmp.Diff(world.expected("job"), world.output("job")); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
		if n := len(world.bucket.Keys()); n != 3 { // one segment, one output, the manifest
			t.Errorf("objects %v", world.bucket.Keys())
		}
	})
}

func TestACommitWhoseAnswerWasLostCountsOnce(t *testing.T) {
	for op, v := range map[string]verdict{"Commit": failAfter, "Put": failAfter} {
		synctest.Test(t, func(t *testing.T) {
			world := newWorld()
			world.plan("job", 10, 30)
			failures := 3
			w, stop := start(t, newProcess(world, func(o string) verdict {
				if o == op && failures > 0 {
					failures--
					return v
				}
				return pass
			}), t.TempDir(), "a", nil)
			ask(t, w, world.lease("job", "a"), "a", rand.New(rand.NewPCG(1, 2)))
			if err := w.Flush(t.Context(), "job"); err != nil {
				t.Fatal(err)
			}
			stop()
			publish(t, world, "job", batholith.StatusCompleted)
			if diff := cmp.Diff(world.expected("job"), world.output("job")); diff != "" || failures > 0 {
				t.Errorf("%s: output (-want +got):\n%s", op, diff)
			}
		})
	}
}

func TestASealedOrForgottenJobTakesNothingAndHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("sealed", 10, 10)
		world.plan("gone", 10, 10)
		w, stop := start(t, newProcess(world, nil), t.TempDir(), "a", nil)
		defer stop()
		for _, job := range []string{"sealed", "gone"} {
			ask(t, w, world.lease(job, "a"), "a", rand.New(rand.NewPCG(1, 2)))
		}
		world.mu.Lock()
		world.jobs["sealed"].sealed = true
		gone := world.jobs["gone"]
		delete(world.jobs, "gone")
		world.mu.Unlock()
		for _, job := range []string{"sealed", "gone"} {
			if err := w.Flush(t.Context(), job); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := world.jobs["sealed"].counts.Processed + gone.counts.Processed; n != 0 {
			t.Errorf("%d outcomes counted", n)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.pending != 0 || len(w.queues) != 0 || len(world.bucket.Keys()) != 0 {
			t.Errorf("%d bytes, %d queues, objects %v are left", w.pending, len(w.queues), world.bucket.Keys())
		}
	})
}

func TestADeadBucketStopsItsJobOnlyAndIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("dead", 100, 1000)
		world.plan("well", 100, 1000)
		faults := map[string]int{}
		world.bucket.Fault = func(op, key string) (bool, error) {
			if op == "Put" && len(key) > 8 && key[:8] == "out/dead" {
				return false, batholith.ErrAccessDenied
			}
			return true, nil
		}
		w, stop := start(t, newProcess(world, nil), t.TempDir(), "a", func(o *Options) {
			o.PendingBytes = 64 << 10
			o.OnFault = func(job string, err error) {
				if errors.Is(err, batholith.ErrAccessDenied) {
					faults[job]++
				}
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		added := 0
		for _, c := range world.lease("dead", "a") {
			for i := range c.Count {
				if ctx.Err() != nil {
					break
				}
				if err := w.Add(ctx, outcome(c, i, "a")); err != nil {
					t.Fatal(err)
				}
				added++
			}
		}
		if added == 0 || added == 1000 {
			t.Errorf("%d outcomes of the dead job were taken; the room has a bound", added)
		}
		ask(t, w, world.lease("well", "a"), "a", rand.New(rand.NewPCG(1, 2)))
		if err := w.Flush(t.Context(), "well"); err != nil {
			t.Fatal(err)
		}
		if n := world.job("well", batholith.StatusInProgress).Counts.Processed; n != 1000 {
			t.Errorf("%d outcomes of the other job committed", n)
		}
		w.Drop("dead")
		if err := w.Flush(t.Context(), "dead"); err != nil {
			t.Fatal(err)
		}
		stop()
		if faults["dead"] == 0 || faults["well"] != 0 {
			t.Errorf("faults %v", faults)
		}
		if n := world.jobs["dead"].counts.Processed; n != 0 {
			t.Errorf("%d outcomes counted after Drop", n)
		}
	})
}

func TestARecordAddedTwiceCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		world.plan("job", 10, 10)
		w, stop := start(t, newProcess(world, nil), t.TempDir(), "a", nil)
		chunks := world.lease("job", "a")
		for range 2 {
			ask(t, w, chunks, "a", rand.New(rand.NewPCG(1, 2)))
		}
		w.Flush(t.Context(), "job")
		ask(t, w, chunks, "a", rand.New(rand.NewPCG(3, 4)))
		w.Flush(t.Context(), "job")
		stop()
		publish(t, world, "job", batholith.StatusCompleted)
		if diff := cmp.Diff(world.expected("job"), world.output("job")); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
	})
}
