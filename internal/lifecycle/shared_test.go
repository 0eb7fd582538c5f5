package lifecycle

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/store"
)

// sharing makes the Lifecycle one of several workers.
func sharing(o *Options) { o.Shared = true }

// beside opens the world's database as another process does: nothing that it changes is signalled to the first.
func (w *world) beside() *store.Store {
	w.t.Helper()
	s, err := store.Open(w.t.Context(), w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { s.Close() })
	return s
}

// alive gives workers leases.
func (w *world) alive(lease time.Duration, workers ...string) {
	w.t.Helper()
	for _, id := range workers {
		if err := w.store.Heartbeat(w.t.Context(), id, time.Now().Add(lease)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// peer is a worker of another process, with the same bucket.
func (w *world) peer(id string) *world {
	p := &world{t: w.t, path: w.path, worker: id, store: database{w.beside()}, bucket: w.bucket, limits: w.limits, options: w.options}
	p.forget()
	return p
}

// is demands a status.
func (w *world) is(id string, want batholith.Status) {
	w.t.Helper()
	synctest.Wait()
	if j := w.job(id); j.Status != want {
		w.t.Errorf("the job %s is %s, want %s: %s", id, j.Status, want, j.Message)
	}
}

func TestAStopOfAnotherProcessHaltsWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.options, w.look = sharing, time.Hour
		defer w.sending()()
		if err := (Stopper{Store: w.beside()}).Stop(t.Context(), account, id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		w.is(id, batholith.StatusStopped)
		if w.halted[id] != batholith.ErrStopped {
			t.Errorf("halted because of %v", w.halted[id])
		}
	})
}

// The output of a stopped job has what every worker finished, not only the one that was the first to halt.
func TestAStoppedJobIsSealedWhenEveryWorkerHasHalted(t *testing.T) {
	for name, c := range map[string]struct {
		lives time.Duration
		after func(*testing.T, *world)
		want  time.Duration
	}{
		"it halts": {time.Hour, func(t *testing.T, w *world) {
			time.Sleep(4 * time.Second)
			if err := w.store.Release(t.Context(), "another", id); err != nil {
				t.Fatal(err)
			}
		}, 8 * time.Second},
		"it dies":          {5 * time.Second, func(*testing.T, *world) {}, 7 * time.Second},
		"it cannot commit": {time.Hour, func(*testing.T, *world) {}, othersHalt + 2*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.options = sharing
				w.put("a.jsonl", records(600))
				w.create(id, "a.jsonl")
				w.alive(time.Hour, "w")
				defer w.start()()
				w.reach(batholith.StatusInProgress)
				w.alive(c.lives, "another")
				if _, err := w.store.Claim(t.Context(), "another", id, 1, time.Now()); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				if err := w.life.Stop(t.Context(), account, id); err != nil {
					t.Fatal(err)
				}
				time.Sleep(3 * time.Second)
				w.is(id, batholith.StatusStopping)
				c.after(t, w)
				time.Sleep(c.want - time.Since(began))
				w.is(id, batholith.StatusStopped)
			})
		})
	}
}

// counting is a bucket that counts the reads of inputs from their first byte, and may hold them up.
type counting struct {
	blob.Bucket
	mu    sync.Mutex
	reads map[string]int
	gate  chan struct{} // reads wait until it is closed; nil: they do not
}

func (b *counting) Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error) {
	if strings.HasSuffix(key, ".jsonl") && offset == 0 {
		b.mu.Lock()
		b.reads[key]++
		b.mu.Unlock()
	}
	if b.gate != nil {
		select {
		case <-b.gate:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return b.Bucket.Read(ctx, key, etag, offset, n)
}

// through makes a Lifecycle that reads inputs through a bucket.
func through(b *counting) func(*Options) {
	return func(o *Options) {
		sharing(o)
		o.Place = func(_ context.Context, j batholith.Job) (blob.Place, error) {
			_, key, _ := strings.Cut(strings.TrimPrefix(j.Input.URI, "s3://"), "/")
			return blob.Place{Input: b, Output: b.Bucket, InputKey: key, Prefix: "out/" + j.ID + "/"}, nil
		}
	}
}

func TestEachJobIsValidatedByOneWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		in := &counting{Bucket: w.bucket, reads: map[string]int{}}
		w.options = through(in)
		p := w.peer("p")
		w.alive(time.Hour, "w", "p")
		var ids []string
		for i := range 20 {
			ids = append(ids, fmt.Sprintf("job%09d", i))
			w.put(ids[i]+".jsonl", records(3))
			w.create(ids[i], ids[i]+".jsonl")
		}
		defer w.start()()
		defer p.start()()
		time.Sleep(2 * lookEvery)
		synctest.Wait()
		for _, id := range ids {
			if n := in.reads[id+".jsonl"]; n != 1 {
				t.Errorf("the input of %s was read %d times", id, n)
			}
			if !w.queued(id) || !p.queued(id) {
				t.Errorf("%s is sent by w: %t, by p: %t", id, w.queued(id), p.queued(id))
			}
		}
	})
}

// A worker holds few jobs that it does not read yet: the others are for the other workers.
func TestAValidationThatWaitsIsFreeForOtherWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		slow := &counting{Bucket: w.bucket, reads: map[string]int{}, gate: make(chan struct{})}
		fast := &counting{Bucket: w.bucket, reads: map[string]int{}}
		w.options = through(slow)
		p := w.peer("p")
		p.options = through(fast)
		w.alive(time.Hour, "w", "p")
		const jobs = 20
		for i := range jobs {
			id := fmt.Sprintf("job%09d", i)
			w.put(id+".jsonl", records(3))
			w.create(id, id+".jsonl")
		}
		defer w.start()()
		synctest.Wait() // w has its places full
		defer p.start()()
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if got, least := len(fast.reads), jobs-2-lobbyPlaces; got < least {
			t.Errorf("the other worker has validated %d jobs, want at least %d", got, least)
		}
		close(slow.gate)
		time.Sleep(2 * lookEvery)
		for i := range jobs {
			w.is(fmt.Sprintf("job%09d", i), batholith.StatusScheduled)
		}
	})
}

func TestAValidationIsTakenOverFromAWorkerThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.options = sharing
		w.alive(5*time.Second, "gone")
		w.alive(time.Hour, "w")
		w.put("a.jsonl", records(3))
		w.create(id, "a.jsonl")
		if mine, err := w.store.Undertake(t.Context(), "gone", "validate "+id); !mine || err != nil {
			t.Fatal(mine, err)
		}
		defer w.start()()
		time.Sleep(4 * time.Second)
		w.is(id, batholith.StatusValidating)
		time.Sleep(time.Second + dutyAgain*3/2)
		w.is(id, batholith.StatusScheduled)
		if mine, err := w.store.Undertake(t.Context(), "another", "validate "+id); !mine || err != nil {
			t.Errorf("the duty is still held: %t, %v", mine, err)
		}
	})
}

// Whichever worker ends a job, its message names the first error, also of a worker that is gone.
func TestTheFirstErrorOfEveryWorkerIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.options = sharing
		p := w.peer("p")
		p.first = &batholith.RecordError{Code: 400, Message: "the prompt is too long"}
		w.alive(time.Hour, "w", "p")
		w.put("a.jsonl", records(10))
		w.create(id, "a.jsonl")
		stop := p.start()
		p.reach(batholith.StatusInProgress)
		p.commit(id, 4, 1) // by the worker "w" of the fake; what counts is which process saw it
		synctest.Wait()
		stop()
		defer w.start()()
		time.Sleep(time.Second)
		w.commit(id, 1, 1)
		w.is(id, batholith.StatusCompleted)
		if m := w.job(id).Message; !strings.Contains(m, "the first with 400: the prompt is too long") || !strings.Contains(m, "2 of 10") {
			t.Errorf("message %q", m)
		}
	})
}

// A worker without a job's model leaves the job alone, and yet every worker can end it.
func TestAJobThatNoWorkerReachesWaitsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.options = func(o *Options) {
			sharing(o)
			o.Reaches = func(j batholith.Job) bool { return !strings.HasPrefix(j.ID, "far") }
		}
		w.look, w.lasts = 5*time.Second, time.Hour
		w.alive(100*time.Hour, "w")
		w.put("a.jsonl", records(3))
		for _, id := range []string{id, "farstopped00", "farexpired00"} {
			w.create(id, "a.jsonl")
		}
		defer w.start()()
		time.Sleep(time.Minute)
		w.is(id, batholith.StatusScheduled)
		w.is("farstopped00", batholith.StatusSubmitted)
		if err := (Stopper{Store: w.beside()}).Stop(t.Context(), account, "farstopped00"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second + longestPause)
		w.is("farstopped00", batholith.StatusStopped)
		time.Sleep(time.Hour)
		w.is("farexpired00", batholith.StatusExpired)
		if w.queued("farstopped00") || w.queued("farexpired00") {
			t.Error("a job that is not reached was sent")
		}
	})
}

// A worker of an earlier version leaves a job alone that needs what its program does not know. It neither validates nor ends it, alone or
// beside others.
func TestAJobThatNeedsALaterVersionIsLeftAlone(t *testing.T) {
	for _, shared := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			if shared {
				w.options = sharing
			}
			w.look, w.lasts = 5*time.Second, time.Hour
			w.alive(100*time.Hour, "w")
			w.put("a.jsonl", records(3))
			needing := func(f batholith.Feature) func(*batholith.Job) {
				return func(j *batholith.Job) { j.Needs = []batholith.Feature{f} }
			}
			w.create("later0000000", "a.jsonl", needing("of-a-later-version"))
			w.create("laterstopped", "a.jsonl", needing("of-a-later-version"))
			w.create(id, "a.jsonl", needing(batholith.FeatureCaps))
			defer w.start()()
			time.Sleep(time.Minute)
			w.is(id, batholith.StatusScheduled)
			if err := (Stopper{Store: w.beside()}).Stop(t.Context(), account, "laterstopped"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Hour)
			w.is("later0000000", batholith.StatusSubmitted)
			w.is("laterstopped", batholith.StatusStopping)
		})
	}
}

// A deadline is a time of the database's clock, however wrong that of the worker is.
func TestADeadlineIsTheDatabasesTime(t *testing.T) {
	for _, wrong := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.lasts = time.Hour
			w.options = func(o *Options) {
				sharing(o)
				o.Now = func() time.Time { return time.Now().Add(-wrong) } // the database's clock; its store here has that of the worker
			}
			w.put("a.jsonl", records(10))
			job := w.create(id, "a.jsonl")
			defer w.start()()
			w.reach(batholith.StatusInProgress)
			if got := w.enqueued[id].Expires.Sub(job.Expires); got.Round(time.Millisecond) != wrong {
				t.Errorf("dispatch has a deadline that is %s later than the database's, want %s", got, wrong)
			}
			time.Sleep(time.Until(job.Expires) + wrong - time.Second)
			w.is(id, batholith.StatusInProgress)
			time.Sleep(2 * time.Second)
			w.is(id, batholith.StatusPartiallyCompleted)
		})
	}
}

// One worker sweeps, and another when that one is gone.
func TestOneWorkerSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.options = sharing
		p := w.peer("p")
		w.alive(30*time.Minute, "w")
		w.alive(100*time.Hour, "p")
		stop := w.start()
		synctest.Wait()
		defer p.start()()
		sweeps := func(worker string) bool {
			mine, err := w.store.Undertake(t.Context(), worker, "sweep")
			return mine && err == nil
		}
		time.Sleep(20 * time.Minute)
		if sweeps("p") {
			t.Error("both workers sweep")
		}
		stop()
		time.Sleep(30 * time.Minute)
		if sweeps("another") || !sweeps("p") {
			t.Error("nobody sweeps after the worker that did is gone")
		}
	})
}

// However many jobs there are, a worker takes a tenth of the time of a shared database to look at them.
func TestALookLeavesTheDatabaseToOtherWorkers(t *testing.T) {
	const look = 5 * time.Second
	for took, want := range map[time.Duration][2]time.Duration{ // alone, and with other workers
		0:                      {0, 0},
		time.Millisecond:       {10 * time.Millisecond, 10 * time.Millisecond},
		300 * time.Millisecond: {longestPause, 3 * time.Second},
		time.Minute:            {longestPause, look},
	} {
		for i, shared := range []bool{false, true} {
			l := &Lifecycle{o: Options{Look: look, Shared: shared}}
			if got := l.pauseAfter(took); got != want[i] {
				t.Errorf("shared %v, a look of %s: the pause is %s, want %s", shared, took, got, want[i])
			}
		}
	}
}
