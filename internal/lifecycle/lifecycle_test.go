package lifecycle

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
)

const id = "abcdefghij01"

func TestAJobGoesThroughItsStatusesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(700))
		defer w.start()()
		w.create(id, "a.jsonl")
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusScheduled || j.Counts.Total != 700 || !w.queued(id) {
			t.Fatalf("after validation: %s, %d records, enqueued %v (%s)", j.Status, j.Counts.Total, w.queued(id), j.Message)
		}
		if err := w.life.Begin(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		w.commit(id, 300, 0)
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusInProgress || j.Counts.Processed != 300 {
			t.Fatalf("%s with %d processed", j.Status, j.Counts.Processed)
		}
		w.commit(id, 400, 3)
		synctest.Wait()
		j := w.job(id)
		if want := "Submitted Validating Scheduled InProgress Completed"; w.statuses(id) != want {
			t.Errorf("statuses: %s; want %s", w.statuses(id), want)
		}
		if j.Ended.IsZero() || !strings.Contains(j.Message, "3 of 700 ended with an error") {
			t.Errorf("ended %v with message %q", j.Ended, j.Message)
		}
		if diff := cmp.Diff([]batholith.Status{batholith.StatusCompleted}, w.finals(id)); diff != "" || w.cleaned[id] != 1 {
			t.Errorf("published: %s; cleaned %d times", diff, w.cleaned[id])
		}
	})
}

// reach brings a job to a status, from which a test goes on.
func (w *world) reach(s batholith.Status) {
	w.t.Helper()
	synctest.Wait()
	if s == batholith.StatusInProgress {
		if err := w.life.Begin(w.t.Context(), id); err != nil {
			w.t.Fatal(err)
		}
		w.commit(id, 5, 0)
	}
	synctest.Wait()
	if got := w.job(id).Status; got != s {
		w.t.Fatalf("the job is %s, want %s (%s)", got, s, w.job(id).Message)
	}
}

// hold keeps the job from leaving a status: a bucket that does not answer for Validating, no validation for Submitted.
func (w *world) hold(s batholith.Status) {
	switch s {
	case batholith.StatusValidating:
		w.bucket.SetFault(func(string, string) (bool, error) { return false, errors.New("503 SlowDown") })
	case batholith.StatusSubmitted:
		for range w.life.o.Validations {
			if err := w.life.fast.take(w.t.Context(), "others"); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

func TestStopWorksInEveryStatusWithinASecond(t *testing.T) {
	for status, finals := range map[batholith.Status]int{batholith.StatusSubmitted: 0, batholith.StatusValidating: 0,
		batholith.StatusScheduled: 1, batholith.StatusInProgress: 1} {
		t.Run(string(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.put("a.jsonl", records(20))
				defer w.start()()
				w.hold(status)
				w.create(id, "a.jsonl")
				w.reach(status)
				asked := time.Now()
				if err := w.life.Stop(t.Context(), account, id); err != nil {
					t.Fatal(err)
				}
				if err := w.life.Stop(t.Context(), account, id); err != nil {
					var over *batholith.MoveError // it may be over by now
					if !errors.As(err, &over) {
						t.Errorf("stopping twice: %v", err)
					}
				}
				time.Sleep(time.Second)
				synctest.Wait()
				j := w.job(id)
				if j.Status != batholith.StatusStopped || j.Ended.Sub(asked) > time.Second {
					t.Errorf("%s, ended %s after the request", j.Status, j.Ended.Sub(asked))
				}
				if !strings.HasSuffix(w.statuses(id), "Stopping Stopped") || len(w.finals(id)) != finals {
					t.Errorf("statuses %s, published %v", w.statuses(id), w.finals(id))
				}
				var over *batholith.MoveError
				if err := w.life.Stop(t.Context(), account, id); !errors.As(err, &over) {
					t.Errorf("stopping a stopped job: %v, want a MoveError", err)
				}
			})
		})
	}
}

func TestTimeRunsOutInEveryStatus(t *testing.T) {
	for status, end := range map[batholith.Status]batholith.Status{
		batholith.StatusSubmitted:  batholith.StatusExpired,
		batholith.StatusValidating: batholith.StatusExpired,
		batholith.StatusScheduled:  batholith.StatusExpired,
		batholith.StatusInProgress: batholith.StatusPartiallyCompleted,
	} {
		t.Run(string(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.look = time.Hour
				w.put("a.jsonl", records(20))
				defer w.start()()
				w.hold(status)
				w.create(id, "a.jsonl")
				w.reach(status)
				time.Sleep(24*time.Hour - time.Second)
				synctest.Wait()
				if got := w.job(id).Status; got != status {
					t.Fatalf("%s a second before the time is over", got)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				j := w.job(id)
				if j.Status != end || j.Ended.Sub(j.Expires) > time.Second || j.Message == "" {
					t.Errorf("%s (%q), ended %s after its time", j.Status, j.Message, j.Ended.Sub(j.Expires))
				}
				if want := map[bool]int{true: 1}[end == batholith.StatusPartiallyCompleted]; len(w.finals(id)) != want {
					t.Errorf("published %v", w.finals(id))
				}
			})
		})
	}
}

func TestAFaultEndsTheJobAsFailedWithItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(20))
		defer w.start()()
		w.create(id, "a.jsonl")
		w.reach(batholith.StatusInProgress)
		w.life.Fault(id, fmt.Errorf("read s3://in/a.jsonl: %w", batholith.ErrObjectChanged))
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusFailed || !strings.Contains(j.Message, "the object changed") {
			t.Errorf("%s: %q", j.Status, j.Message)
		}
	})
}

func TestOutputThatMayNotBeWrittenFailsTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(20))
		w.at(func(name string) error {
			if name == "publish" {
				return batholith.ErrAccessDenied
			}
			return nil
		})
		defer w.start()()
		w.create(id, "a.jsonl")
		w.reach(batholith.StatusInProgress)
		w.commit(id, 15, 0)
		time.Sleep(patience - time.Second)
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusInProgress || !strings.Contains(j.Note, "access denied") {
			t.Fatalf("%s: %q", j.Status, j.Note)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if j := w.job(id); j.Status != batholith.StatusFailed || !strings.Contains(j.Message, "The output cannot be written: access denied") || j.Note != "" {
			t.Errorf("%s: %q", j.Status, j.Message)
		}
	})
}

// The segments of a job that another process ended are gone because its output is there.
func TestOnlyAJobThatIsNotOverIsSalvaged(t *testing.T) {
	for _, over := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.put("a.jsonl", records(20))
			w.at(func(name string) error {
				if name != "publish" {
					return nil
				}
				if over {
					err := w.store.Move(t.Context(), id, batholith.StatusInProgress, batholith.StatusCompleted, "by another", time.Now())
					if err != nil && !errors.Is(err, batholith.ErrMoved) {
						t.Error(err)
					}
				}
				return fmt.Errorf("%w: one of them", batholith.ErrOutcomesLost)
			})
			defer w.start()()
			w.create(id, "a.jsonl")
			w.reach(batholith.StatusInProgress)
			w.commit(id, 15, 0)
			time.Sleep(time.Minute)
			synctest.Wait()
			job := w.job(id)
			if over && (job.Status != batholith.StatusCompleted || w.partials(id) > 0) {
				t.Errorf("%s, salvaged %d times over the output of another process", job.Status, w.partials(id))
			}
			if !over && (job.Status != batholith.StatusFailed || w.partials(id) != 1 || !strings.Contains(job.Message, "one of them")) {
				t.Errorf("%s (%s), salvaged %d times", job.Status, job.Message, w.partials(id))
			}
		})
	}
}

func TestAnOutageOfTheOutputIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(20))
		back := time.Now().Add(time.Hour)
		w.at(func(name string) error {
			if name == "publish" && time.Now().Before(back) {
				return errors.New("503 SlowDown")
			}
			return nil
		})
		defer w.start()()
		w.create(id, "a.jsonl")
		w.reach(batholith.StatusInProgress)
		w.commit(id, 15, 0)
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if got := w.job(id).Status; got != batholith.StatusInProgress {
			t.Fatalf("%s while the output cannot be written", got)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := w.job(id).Status; got != batholith.StatusCompleted {
			t.Errorf("%s after the outage", got)
		}
	})
}

// A process that ends between any two steps leaves a job that the next one brings to the same end.
func TestACrashBetweenAnyTwoStepsComesToTheSameEnd(t *testing.T) {
	ends := map[string]struct {
		end  batholith.Status
		make func(w *world)
	}{
		"complete": {batholith.StatusCompleted, func(w *world) { w.commit(id, 15, 0) }},
		"stop":     {batholith.StatusStopped, func(w *world) { w.life.Stop(w.t.Context(), account, id) }},
		"expire":   {batholith.StatusPartiallyCompleted, func(w *world) { time.Sleep(25 * time.Hour) }},
	}
	for name, c := range ends {
		for _, moment := range []string{"halt", "publish", "clean"} {
			t.Run(name+" at "+moment, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.look = time.Hour
					w.put("a.jsonl", records(20))
					stop := w.start()
					w.create(id, "a.jsonl")
					w.reach(batholith.StatusInProgress)
					crash := make(chan struct{})
					w.at(func(name string) error {
						if name == moment {
							<-crash
							return errors.New("the process ends here")
						}
						return nil
					})
					c.make(w)
					synctest.Wait()
					go func() { close(crash) }()
					stop()
					w.at(nil)
					w.forget()
					defer w.start()()
					synctest.Wait()
					if got := w.job(id).Status; got != c.end {
						t.Errorf("%s after the restart, want %s", got, c.end)
					}
					unclean, err := w.store.Unclean(t.Context())
					if err != nil || len(unclean) > 0 {
						t.Errorf("%d jobs are not cleaned up (%v)", len(unclean), err)
					}
				})
			})
		}
	}
}

func TestAJobGoesOnAfterARestartInEveryStatus(t *testing.T) {
	for _, status := range []batholith.Status{batholith.StatusSubmitted, batholith.StatusValidating,
		batholith.StatusScheduled, batholith.StatusInProgress} {
		t.Run(string(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.put("a.jsonl", records(20))
				stop := w.start()
				w.hold(status)
				w.create(id, "a.jsonl")
				w.reach(status)
				stop()
				if got := w.job(id).Status; got != status {
					t.Fatalf("%s after a shutdown, want %s", got, status)
				}
				w.bucket.SetFault(nil)
				w.forget()
				defer w.start()()
				synctest.Wait()
				if !w.queued(id) {
					t.Fatalf("the job is %s and not in the queue", w.job(id).Status)
				}
				if err := w.life.Begin(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				w.commit(id, int(20-w.job(id).Counts.Processed), 0)
				synctest.Wait()
				if got := w.job(id).Status; got != batholith.StatusCompleted {
					t.Errorf("%s", got)
				}
			})
		})
	}
}

// begun starts a lifecycle in which a job of so many records is InProgress.
func (w *world) begun(n int) (stop func()) {
	w.put("a.jsonl", records(n))
	stop = w.start()
	w.create(id, "a.jsonl")
	synctest.Wait()
	w.life.Begin(w.t.Context(), id)
	return stop
}

func TestNothingIsPublishedOfAJobOfSecondsBeforeItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.begun(20_000)()
		for range 20 {
			time.Sleep(partialEvery / 20)
			w.commit(id, 500, 0)
			synctest.Wait()
			if w.job(id).Counts.Processed < 10_000 && w.partials(id) > 0 {
				t.Fatal("a partial publication of a job that has only begun")
			}
		}
		synctest.Wait()
		if n := w.partials(id); n != 1 { // as soon as the time has come
			t.Errorf("%d partial publications, want 1", n)
		}
	})
}

func TestOutputIsPublishedEachTimeItHasDoubled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.begun(10_000)()
		sum := 0
		for _, c := range []struct {
			after       time.Duration
			total, want int
		}{
			{partialEvery - time.Second, 1000, 0}, // too early
			{2 * time.Second, 1100, 1},            //
			{partialEvery + time.Second, 1900, 1}, // not doubled
			{time.Second, 2300, 2},                //
			{partialEvery - time.Second, 5000, 2}, // too early
			{2 * time.Second, 5100, 3},            //
			{partialAge - time.Second, 5200, 3},   // not doubled, and not old
			{2 * time.Second, 5300, 4},            // old
			{partialAge - 2*time.Second, 5400, 4}, //
		} {
			time.Sleep(c.after)
			w.commit(id, c.total-sum, 0)
			sum = c.total
			synctest.Wait()
			if got := w.partials(id); got != c.want {
				t.Errorf("%d partial publications of %d records, want %d", got, c.total, c.want)
			}
		}
	})
}

// A job of a few slow records shows them as they come; one of seconds has its output written once, however long it waited for its turn.
func TestASmallJobShowsWhatItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.begun(50)()
		for second := range 10 {
			time.Sleep(time.Second)
			w.commit(id, 1, 0)
			if synctest.Wait(); w.partials(id) > 0 {
				t.Fatalf("output was published %d s after the beginning", second+1)
			}
		}
		time.Sleep(partialAge - 10*time.Second)
		if synctest.Wait(); w.partials(id) != 1 {
			t.Errorf("%d publications after %s", w.partials(id), partialAge)
		}
		time.Sleep(time.Hour)
		if synctest.Wait(); w.partials(id) != 1 {
			t.Errorf("%d publications of the same records", w.partials(id))
		}
		w.commit(id, 1, 0)
		if synctest.Wait(); w.partials(id) != 2 {
			t.Errorf("%d publications: a record that came after an hour waits", w.partials(id))
		}
		w.commit(id, 1, 0)
		time.Sleep(partialAge - time.Second)
		if synctest.Wait(); w.partials(id) != 2 {
			t.Errorf("%d publications within %s", w.partials(id), partialAge)
		}
		w.commit(id, 38, 0)
		if w.reach(batholith.StatusCompleted); w.partials(id) != 2 {
			t.Errorf("%d publications of a job that is over", w.partials(id))
		}
	})
}

func TestATurnThatWasWaitedForIsNotTheAgeOfAnOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(50))
		w.create(id, "a.jsonl")
		defer w.start()()
		w.reach(batholith.StatusScheduled)
		time.Sleep(time.Hour)
		if err := w.life.Begin(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			time.Sleep(time.Second)
			w.commit(id, 5, 0)
		}
		if w.reach(batholith.StatusCompleted); w.partials(id) != 0 {
			t.Errorf("a job of ten seconds was published %d times before its end", w.partials(id))
		}
	})
}

// What failed is tried again, also when no record comes any more.
func TestAPartialPublicationThatFailedIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		tries := 0
		w.at(func(name string) error {
			if name != "publish" {
				return nil
			}
			if tries++; tries < 3 {
				return errors.New("away")
			}
			return nil
		})
		defer w.begun(50)()
		w.commit(id, 1, 0)
		time.Sleep(4 * partialAge)
		if synctest.Wait(); tries != 3 {
			t.Errorf("%d publications were tried", tries)
		}
	})
}

// However many jobs show what they have, few do so at once, and what waits is not forgotten.
func TestPartialOutputOfManyJobsTakesTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const jobs = 2*partialsAtOnce + 1
		w := newWorld(t)
		var now, most atomic.Int64
		w.at(func(name string) error {
			if name == "publish" {
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(time.Second)
				now.Add(-1)
			}
			return nil
		})
		w.put("a.jsonl", records(50))
		var ids []string
		for i := range jobs {
			ids = append(ids, fmt.Sprintf("job%09d", i))
			w.create(ids[i], "a.jsonl")
		}
		defer w.start()()
		synctest.Wait()
		for _, id := range ids {
			if err := w.life.Begin(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			w.commit(id, 1, 0)
		}
		time.Sleep(partialAge + (jobs/partialsAtOnce+2)*time.Second)
		synctest.Wait()
		for _, id := range ids {
			if w.partials(id) != 1 {
				t.Errorf("job %s was published %d times", id, w.partials(id))
			}
		}
		if most.Load() != partialsAtOnce {
			t.Errorf("%d at once", most.Load())
		}
	})
}

// However slowly a job goes on, what it has finished is soon to be seen; also when it does not go on at all.
func TestPartialOutputIsNeverOld(t *testing.T) {
	for _, takes := range []time.Duration{0, time.Second, 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			var mu sync.Mutex
			var committed []time.Time // of each record beyond those with which the job began
			publications, seen := 0, 0
			bound := max(partialAge, partialShare*takes)
			w.at(func(name string) error {
				if name != "publish" {
					return nil
				}
				mu.Lock()
				records := len(committed)
				mu.Unlock()
				time.Sleep(takes)
				mu.Lock()
				defer mu.Unlock()
				publications++
				if records > seen {
					if old := time.Since(committed[seen]); old > bound {
						t.Errorf("%s a publication: an outcome was published %s after it was committed", takes, old)
					}
				}
				seen = records
				return nil
			})
			defer w.begun(10_000)()
			for range 100 {
				time.Sleep(3 * time.Second)
				mu.Lock()
				committed = append(committed, time.Now())
				mu.Unlock()
				w.commit(id, 1, 0)
			}
			time.Sleep(bound + time.Millisecond)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if seen != len(committed) {
				t.Errorf("%d records were published of %d, when none came any more", seen, len(committed))
			}
			if most := 2 + int((300*time.Second+bound)/(max(partialAge, partialShare*takes)-takes)); publications > most {
				t.Errorf("%d publications, want no more than %d", publications, most)
			}
		})
	}
}

// While a job may still be planned by another worker, the index that both write stays where it is.
func TestAJobThatIsRefusedIsCleanedUpWhenItIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put("a.jsonl", records(3)+"no record\n")
		w.create(id, "a.jsonl")
		var seen []batholith.Status
		w.at(func(name string) error {
			if name == "clean" {
				seen = append(seen, w.job(id).Status)
			}
			return nil
		})
		defer w.start()()
		w.reach(batholith.StatusFailed)
		synctest.Wait()
		if len(seen) == 0 || slices.ContainsFunc(seen, func(s batholith.Status) bool { return s != batholith.StatusFailed }) {
			t.Errorf("cleaned up while the job was %v", seen)
		}
		if left, err := w.store.Unclean(t.Context()); err != nil || len(left) > 0 {
			t.Errorf("%d jobs left to clean up, %v", len(left), err)
		}
	})
}
