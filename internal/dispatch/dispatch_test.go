package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/limit"
	"github.com/batholith/batholith/internal/memory"
	"github.com/batholith/batholith/internal/raced"
)

func TestEveryRecordHasOneOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(50*time.Millisecond)
		d := w.dispatcher(Options{}, s)
		jobs := []string{"a", "b", "c"}
		for _, id := range jobs {
			d.Enqueue(w.job(id, 1000, 128))
		}
		defer w.start(d)()
		w.await(1000, jobs...)
		if all, repeated := s.requests(); repeated != 0 && all != 3000 {
			t.Errorf("%d requests, %d records asked more than once", all, repeated)
		}
		if len(w.twice) > 0 || w.errors("a") > 0 {
			t.Errorf("outcomes twice: %v; errors: %d", w.twice, w.errors("a"))
		}
		if got, want := w.lines["a-7"], `{"recordId":"a-7","modelInput":{"n":7},"modelOutput":"ok"}`+"\n"; got != want {
			t.Errorf("line %q, want %q", got, want)
		}
	})
}

func TestAJobThatIsEnqueuedWhileRunningIsSentAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(0)
		d := w.dispatcher(Options{}, s)
		defer w.start(d)()
		time.Sleep(time.Hour) // an idle dispatcher
		before := time.Now()
		d.Enqueue(w.job("a", 10, 10))
		w.await(10, "a")
		if waited := time.Since(before); waited > 0 {
			t.Errorf("took %s, though nothing takes time here", waited)
		}
	})
}

func TestNoSlotIsIdleBetweenChunksAndJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Second)
		s.limit = 16
		d := w.dispatcher(Options{}, s)
		ids := []string{"a", "b", "c"}
		for _, id := range ids {
			d.Enqueue(w.job(id, 496, 50))
		}
		began := time.Now()
		defer w.start(d)()
		w.await(496, ids...)
		ideal := 3 * 496 / 16 * time.Second
		if took := time.Since(began); took > ideal {
			t.Errorf("%s for three jobs that take %s when no slot is idle", took, ideal)
		}
	})
}

func TestInFlightNeverExceedsTheLimit(t *testing.T) {
	for _, c := range []struct {
		name         string
		server       *server
		least, atMos int
	}{
		{"configured", &server{limit: 3}, 3, 3},
		{"published slots and a quarter, and more if goodput rises", &server{slots: 8}, 10, limit.Last},
		{"found", &server{}, limit.First + 1, limit.Last},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s := newWorld(t), c.server
				s.do = answering(time.Second).do
				d := w.dispatcher(Options{}, s)
				d.Enqueue(w.job("a", 2000, 100))
				defer w.start(d)()
				w.await(2000, "a")
				if s.most < c.least || s.most > c.atMos {
					t.Errorf("%d in flight, want %d to %d", s.most, c.least, c.atMos)
				}
			})
		})
	}
}

func TestRecordsOfMegabytesFillTheServerAsWell(t *testing.T) {
	raced.Skip(t)
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Minute)
		s.limit = 64
		d := w.dispatcher(Options{}, s)
		text := strings.Repeat("x", 2<<20)
		d.Enqueue(w.jobOf("a", 70, 1, func(n int) string { return fmt.Sprintf(`{"n":"%d%s"}`, n, text) }))
		defer w.start(d)()
		time.Sleep(30 * time.Second)
		if n := s.busy(); n != s.limit {
			t.Errorf("%d in flight, want %d", n, s.limit)
		}
		d.queues[route{model: "model"}].mu.Lock()
		defer d.queues[route{model: "model"}].mu.Unlock()
		if held := d.queues[route{model: "model"}].held; held > mostBytes {
			t.Errorf("%d bytes are held", held)
		}
	})
}

func TestBackPressureCountsNoAttemptAndLowersTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{}
		s.do = func(ctx context.Context, _ string, _ int) ([]byte, error) {
			if s.busy() > 4 {
				return nil, &batholith.Failure{Kind: batholith.FailureBackPressure, Status: http.StatusTooManyRequests}
			}
			return wait(ctx, 100*time.Millisecond)
		}
		d := w.dispatcher(Options{Attempts: 1}, s)
		d.Enqueue(w.job("a", 400, 100))
		defer w.start(d)()
		w.await(400, "a")
		if n := w.errors("a"); n > 0 {
			t.Errorf("%d records failed although the server was only busy", n)
		}
		if all, _ := s.requests(); all > 800 {
			t.Errorf("%d requests for 400 records", all)
		}
	})
}

func TestABadRecordEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{do: func(_ context.Context, body string, _ int) ([]byte, error) {
			if body == `{"n":3}` {
				return nil, &batholith.Failure{Kind: batholith.FailureBadRecord, Status: 422, Message: "too hot"}
			}
			return []byte(`{}`), nil
		}}
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.job("a", 10, 10))
		defer w.start(d)()
		w.await(10, "a")
		if got, want := w.lines["a-3"], `"error":{"errorCode":422,"errorMessage":"too hot"}`; !strings.Contains(got, want) {
			t.Errorf("line %q lacks %s", got, want)
		}
		if all, _ := s.requests(); all != 10 || w.errors("a") != 1 {
			t.Errorf("%d requests, %d errors", all, w.errors("a"))
		}
		if o := w.outcomes["a"][batholith.RecordKey{Record: 3}]; o.Kind != batholith.OutcomeRefused {
			t.Errorf("the outcome is of kind %d", o.Kind)
		}
	})
}

func TestAttemptsAreBoundedAndFollowBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{do: func(_ context.Context, body string, nth int) ([]byte, error) {
			switch {
			case body == `{"n":0}`:
				return nil, &batholith.Failure{Kind: batholith.FailureRetry, Status: 502, Message: "bad gateway"}
			case body == `{"n":1}` && nth < 3:
				return []byte(`{"nonsense":1,"usage":{"prompt_tokens":7,"completion_tokens":2}}`), nil
			}
			return []byte(`{}`), nil
		}}
		d := w.dispatcher(Options{Attempts: 3}, s)
		d.Enqueue(w.job("a", 5, 5))
		defer w.start(d)()
		w.await(5, "a")
		needed := attemptsNeeded(3, 0.1) // two failures of a record that was answered, among the first answers
		if s.asked[`{"n":0}`] != needed || s.asked[`{"n":1}`] != 3 || s.asked[`{"n":2}`] != 1 {
			t.Errorf("attempts: %v", s.asked)
		}
		if got, want := w.lines["a-0"], fmt.Sprintf(`"errorCode":502,"errorMessage":"bad gateway (after %d attempts)"`, needed); !strings.Contains(got, want) {
			t.Errorf("line %q lacks %s", got, want)
		}
		if w.errors("a") != 1 {
			t.Errorf("%d errors, want 1", w.errors("a"))
		}
		if o := w.outcomes["a"][batholith.RecordKey{Record: 0}]; o.Kind != batholith.OutcomeExhausted {
			t.Errorf("the outcome after the last attempt is of kind %d", o.Kind)
		}
		o := w.outcomes["a"][batholith.RecordKey{Record: 1}]
		if wasted := (batholith.Tokens{Input: 14, Output: 4}); o.Attempts != 3 || o.Kind != batholith.OutcomeAnswer || o.Wasted != wasted {
			t.Errorf("the ledger has %d attempts, kind %d and wasted %+v, want 3, an answer and %+v", o.Attempts, o.Kind, o.Wasted, wasted)
		}
	})
}

func TestAMisconfiguredBackendMakesRecordsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		mended := time.Now().Add(20 * time.Minute)
		down := func() error {
			if time.Now().Before(mended) {
				return &batholith.Failure{Kind: batholith.FailureMisconfigured, Status: 401, Message: "no key"}
			}
			return nil
		}
		s := &server{probe: func(nth int) error { return nil }} // it answers a probe all the same
		s.do = func(ctx context.Context, _ string, _ int) ([]byte, error) { return []byte(`{}`), down() }
		d := w.dispatcher(Options{Attempts: 1}, s)
		d.Enqueue(w.job("a", 100, 10))
		defer w.start(d)()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if note := w.note("a"); !strings.Contains(note, "HTTP 401") && note != "" {
			t.Errorf("note %q", note)
		}
		if all, _ := s.requests(); all > 200 {
			t.Errorf("%d requests to a server that refuses them", all)
		}
		w.await(100, "a")
		if w.errors("a") > 0 {
			t.Error("records were blamed for the backend")
		}
		if note := w.note("a"); note != "" {
			t.Errorf("note %q stays after the backend came back", note)
		}
	})
}

func TestAJobStaysScheduledWhileNoBackendIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := answering(0)
		s.probe = func(nth int) error {
			if nth < 5 {
				return errors.New("connection refused")
			}
			return nil
		}
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.job("a", 10, 10))
		defer w.start(d)()
		time.Sleep(time.Second)
		synctest.Wait()
		if len(w.begun) > 0 || !strings.Contains(w.note("a"), "connection refused") {
			t.Errorf("begun %v, note %q", w.begun, w.note("a"))
		}
		w.await(10, "a")
	})
}

func TestAJobThatComesWhileNoBackendIsThereIsToldToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := answering(0)
		s.probe = func(nth int) error {
			if nth < 20 {
				return errors.New("connection refused")
			}
			return nil
		}
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.job("a", 10, 10))
		defer w.start(d)()
		time.Sleep(time.Second)
		d.Enqueue(w.job("b", 10, 10))
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if !strings.Contains(w.note("b"), "connection refused") {
			t.Errorf("note %q", w.note("b"))
		}
		w.await(10, "a")
		w.await(10, "b")
		synctest.Wait()
		if w.note("a")+w.note("b") != "" {
			t.Errorf("notes %q, %q are left", w.note("a"), w.note("b"))
		}
	})
}

func TestABrokenBackendIsTakenOutBeforeItSpoilsTheJob(t *testing.T) {
	for _, probe := range []string{"fails too", "succeeds all the same"} {
		t.Run("its probe "+probe, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				mended := time.Now().Add(40 * time.Minute)
				s := &server{do: func(_ context.Context, _ string, _ int) ([]byte, error) {
					if time.Now().Before(mended) {
						return nil, &batholith.Failure{Kind: batholith.FailureRetry, Status: 500, Message: "out of memory"}
					}
					return []byte(`{}`), nil
				}, probe: func(nth int) error {
					if nth > 1 && time.Now().Before(mended) && probe == "fails too" {
						return errors.New("HTTP 500")
					}
					return nil
				}}
				d := w.dispatcher(Options{}, s)
				d.Enqueue(w.job("a", 1000, 100))
				defer w.start(d)()
				w.await(1000, "a")
				if n := w.errors("a"); n > 0 {
					t.Errorf("%d of 1000 records were lost to an outage", n)
				}
				if all, _ := s.requests(); all > 1500 {
					t.Errorf("%d requests for 1000 records", all)
				}
			})
		})
	}
}

func TestASecondBackendTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bad := &server{do: func(context.Context, string, int) ([]byte, error) {
			return nil, &batholith.Failure{Kind: batholith.FailureMisconfigured, Status: 404, Message: "no such model"}
		}}
		good := answering(10 * time.Millisecond)
		d := w.dispatcher(Options{}, bad, good)
		d.Enqueue(w.job("a", 500, 100))
		defer w.start(d)()
		w.await(500, "a")
		if w.errors("a") > 0 || w.note("a") != "" {
			t.Errorf("%d errors, note %q", w.errors("a"), w.note("a"))
		}
	})
}

func TestHaltCallsOffWhatIsInFlightAndKeepsWhatWasFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{limit: 4}
		s.do = func(ctx context.Context, body string, _ int) ([]byte, error) {
			if body == `{"n":6}` || body == `{"n":7}` {
				return wait(ctx, 24*time.Hour)
			}
			return wait(ctx, time.Second)
		}
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.job("a", 100, 10))
		defer w.start(d)()
		w.await(10, "a")
		before := time.Now()
		if err := d.Halt(t.Context(), "a", batholith.ErrStopped); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(before); took > time.Second {
			t.Errorf("Halt took %s", took)
		}
		all, _ := s.requests()
		time.Sleep(time.Hour)
		synctest.Wait()
		if now, _ := s.requests(); now != all || s.inFlight != 0 {
			t.Errorf("%d requests after Halt, %d in flight", now-all, s.inFlight)
		}
		if w.count("a") < 10 {
			t.Errorf("%d outcomes were kept", w.count("a"))
		}
	})
}

func TestHaltOfAWaitingJobReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{do: func(ctx context.Context, _ string, nth int) ([]byte, error) {
			w.mu.Lock()
			first := len(w.outcomes["first"]) == 0
			w.mu.Unlock()
			if first {
				return []byte(`{}`), nil
			}
			return wait(ctx, time.Hour)
		}}
		d := w.dispatcher(Options{}, s)
		defer w.start(d)()
		for _, j := range []struct {
			name    string
			records int
		}{{"first", 9000}, {"small", 1000}, {"waits", 5000}} {
			d.Enqueue(w.job(j.name, j.records, 1000))
			synctest.Wait()
		}
		if fc, ok := d.Forecast("waits"); !ok || fc.Position != 2 {
			t.Errorf("forecast %+v, want position 2", fc)
		}
		if err := d.Halt(t.Context(), "waits", batholith.ErrStopped); err != nil {
			t.Fatal(err)
		}
		if slices.Sort(w.begun); fmt.Sprint(w.begun) != "[first]" {
			t.Errorf("begun: %v; every slot is the first job's", w.begun)
		}
	})
}

func TestAWaitingJobBeginsWhenAnotherIsHalted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Second)
		d := w.dispatcher(Options{}, s)
		defer w.start(d)()
		for _, j := range []struct {
			name    string
			records int
		}{{"first", 9000}, {"small", 4000}, {"waits", 5000}} {
			d.Enqueue(w.job(j.name, j.records, 1000))
			synctest.Wait()
		}
		w.await(10, "small")
		if w.count("waits") > 0 {
			t.Fatal("it did not wait")
		}
		for _, id := range []string{"small", "first"} {
			if err := d.Halt(t.Context(), id, batholith.ErrStopped); err != nil {
				t.Fatal(err)
			}
		}
		w.await(10, "waits")
	})
}

// deaf is a bucket whose reads fail, or hang until they are called off.
type deaf struct {
	blob.Bucket
	hangs bool
}

func (d deaf) Read(ctx context.Context, _, _ string, _, _ int64) (io.ReadCloser, error) {
	if d.hangs {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	return nil, errors.New("no such bucket")
}

func TestJobsWhoseBucketsCannotBeReadHoldUpNoOther(t *testing.T) {
	for name, tt := range map[string]struct {
		hangs bool
		bytes int // of a record
	}{"fails": {}, "hangs": {hangs: true}, "fails, with records for more than the memory of all": {bytes: 10_000}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s := newWorld(t), answering(time.Second)
				d := w.dispatcher(Options{Room: memory.NewBudget(8 << 20)}, s)
				whole := d.o.Place
				d.o.Place = func(ctx context.Context, j batholith.Job) (blob.Place, error) {
					if strings.HasPrefix(j.ID, "bad") {
						b := deaf{w.bucket, tt.hangs}
						return blob.Place{Input: b, Output: b}, nil
					}
					return whole(ctx, j)
				}
				defer w.start(d)()
				for i := range 20 { // all of them are older and shorter than the job that can be read
					d.Enqueue(w.jobOf(fmt.Sprint("bad-", i), 100, 100, func(n int) string { return fmt.Sprintf(`{"n":%d,"x":"%*d"}`, n, tt.bytes, n) }))
					synctest.Wait()
				}
				began := time.Now()
				d.Enqueue(w.job("good", 1000, 100))
				w.await(1000, "good")
				if took := time.Since(began); took > 2*time.Minute {
					t.Errorf("after %v", took)
				}
			})
		})
	}
}

func TestNothingIsSentWithoutTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(100*time.Millisecond)
		s.limit = 4
		d := w.dispatcher(Options{Lease: 5 * time.Second}, s)
		d.Enqueue(w.job("a", 4000, 500))
		defer w.start(d)()
		w.await(40, "a")
		w.mu.Lock()
		w.dead = true
		w.mu.Unlock()
		gone := time.Now()
		time.Sleep(time.Minute)
		synctest.Wait()
		if last := s.times[len(s.times)-1]; last.Sub(gone) > 5*time.Second {
			t.Errorf("a record was sent %s after the last heartbeat", last.Sub(gone))
		}
		w.mu.Lock()
		w.dead = false
		w.mu.Unlock()
		w.await(4000, "a")
		if len(w.twice) > 0 {
			t.Errorf("outcomes twice: %v", w.twice)
		}
		if all, _ := s.requests(); all > 4000+4 {
			t.Errorf("%d requests for 4000 records: more were repeated than were in flight", all)
		}
	})
}

// The database is slow: a renewal takes longer than it may, and the next one gets through just after the lease has run out. By then
// another worker has the chunks.
func TestALeaseThatIsRenewedTooLateIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(100*time.Millisecond)
		s.limit = 4
		d := w.dispatcher(Options{Lease: 5 * time.Second}, s)
		d.Enqueue(w.job("a", 500, 500))
		defer w.start(d)()
		w.await(40, "a")
		slow, taken := 0, time.Time{}
		w.mu.Lock()
		w.beat = func(ctx context.Context) error {
			switch slow++; slow {
			case 1:
				<-ctx.Done()
				return context.Cause(ctx)
			case 2:
				time.Sleep(2 * time.Second)
				w.mu.Lock()
				defer w.mu.Unlock()
				for _, c := range w.chunks["a"] {
					c.Owner, c.Epoch = "another", c.Epoch+1
				}
				taken = time.Now()
			}
			return nil
		}
		w.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if last := s.times[len(s.times)-1]; taken.IsZero() || last.Sub(taken) > 100*time.Millisecond {
			t.Errorf("a record was sent %s after another had taken its chunk", last.Sub(taken))
		}
	})
}

func TestALeaseThatIsRenewedTooLateWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(700*time.Millisecond) // nothing is sent between 14.7 s and 15.4 s
		s.limit = 4
		start, beats := time.Now(), make(chan error)
		w.beat = func(context.Context) error {
			if time.Since(start) <= 10*time.Second {
				return nil
			}
			return <-beats
		}
		d := w.dispatcher(Options{Lease: 5 * time.Second}, s)
		d.Enqueue(w.job("a", 400, 200))
		defer w.start(d)()
		for range 3 {
			beats <- errors.New("database is locked")
		}
		time.Sleep(time.Until(start.Add(15100 * time.Millisecond))) // the next renewal is on its way meanwhile
		w.mu.Lock()
		c := w.chunks["a"][0]
		c.Owner, c.Epoch = "w2", c.Epoch+1
		w.mu.Unlock()
		beats <- nil
		close(beats)
		time.Sleep(5 * time.Second)
		w.mu.Lock()
		c.State = batholith.ChunkPending // w2 had to end, and has done nothing
		w.mu.Unlock()
		w.await(400, "a")
		if all, _ := s.requests(); all > 400+4 {
			t.Errorf("%d requests for 400 records: more were repeated than were in flight", all)
		}
	})
}

func TestALeaseThatRunsOutDuringARenewalIsSeenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(100*time.Millisecond)
		s.limit = 4
		start, beats := time.Now(), make(chan error)
		w.beat = func(context.Context) error {
			if time.Since(start) <= 10*time.Second {
				return nil
			}
			return <-beats
		}
		d := w.dispatcher(Options{Lease: 5 * time.Second}, s)
		d.Enqueue(w.job("a", 4000, 512))
		defer w.start(d)()
		time.Sleep(30 * time.Second) // with a lane that never rests this would not end
		synctest.Wait()
		if last := s.times[len(s.times)-1]; last.Sub(start) > 15*time.Second {
			t.Errorf("a record was sent %s after the last heartbeat", last.Sub(start)-10*time.Second)
		}
		close(beats)
		w.await(4000, "a")
		if all, _ := s.requests(); all > 4000+4 {
			t.Errorf("%d requests for 4000 records: more were repeated than were in flight", all)
		}
	})
}

// A worker whose lease runs out again while it gives up what it had under the one before must wait for the next: a record that it may not
// send and puts back would be taken again at once, for ever.
func TestALeaseThatIsLostWhileChunksAreGivenUpIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(100*time.Millisecond)
		s.limit = 4
		d := w.dispatcher(Options{Lease: 5 * time.Second}, s)
		d.Enqueue(w.job("a", 4000, 500))
		defer w.start(d)()
		w.await(40, "a")
		lose := func() {
			d.leaseUntil.Store(time.Now().UnixNano())
			d.loseLease()
		}
		again := true
		w.mu.Lock()
		w.releasing = func() {
			if again {
				again = false
				lose()
			}
		}
		w.mu.Unlock()
		lose()
		w.await(4000, "a")
		if again || len(w.twice) > 0 {
			t.Errorf("lost again: %v; outcomes twice: %v", !again, w.twice)
		}
	})
}

func TestShutdownFinishesWhatIsInFlightAndHandsBackTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(10*time.Second)
		s.limit = 8
		d := w.dispatcher(Options{Drain: 30 * time.Second}, s)
		d.Enqueue(w.job("a", 100, 10))
		stop := w.start(d)
		synctest.Wait()
		stop()
		if all, _ := s.requests(); all != 8 || w.count("a") != 8 {
			t.Errorf("%d requests, %d outcomes; want 8 of each", all, w.count("a"))
		}
		for _, c := range w.chunks["a"] {
			if c.State == batholith.ChunkLeased {
				t.Errorf("chunk %d is still leased", c.N)
			}
		}
	})
}

func TestShutdownIsBoundedByTheDrainTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Hour)
		d := w.dispatcher(Options{Drain: 30 * time.Second}, s)
		d.Enqueue(w.job("a", 100, 10))
		stop := w.start(d)
		synctest.Wait()
		before := time.Now()
		stop()
		if took := time.Since(before); took != 30*time.Second {
			t.Errorf("shutdown took %s", took)
		}
	})
}

func TestAChangedInputIsAFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(0)
		d := w.dispatcher(Options{}, s)
		job := w.job("a", 10, 10)
		w.files["a"][0].ETag = "another"
		d.Enqueue(job)
		defer w.start(d)()
		synctest.Wait()
		if !errors.Is(w.faults["a"], batholith.ErrObjectChanged) {
			t.Errorf("fault %v", w.faults["a"])
		}
		if all, _ := s.requests(); all > 0 {
			t.Errorf("%d requests", all)
		}
	})
}

func TestADamagedIndexIsAFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(0)
		d := w.dispatcher(Options{}, s)
		job := w.job("a", 10, 10)
		index, _ := w.bucket.Object("a.idx")
		index[len(index)/2] ^= 1
		w.bucket.Put(t.Context(), "a.idx", index)
		d.Enqueue(job)
		defer w.start(d)()
		synctest.Wait()
		if !errors.Is(w.faults["a"], errIndex) {
			t.Errorf("fault %v", w.faults["a"])
		}
	})
}

func TestAnIndexOfOtherRecordsIsToldByItsRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		job := w.job("a", 10, 10)
		w.job("b", 7, 7)
		index, _ := w.bucket.Object("b.idx")
		w.bucket.Put(t.Context(), "a.idx", index)
		w.chunks["a"][0].IndexBytes = int64(len(index))
		d := w.dispatcher(Options{}, answering(0))
		d.Enqueue(job)
		defer w.start(d)()
		synctest.Wait()
		if err := w.faults["a"]; !errors.Is(err, errIndex) || !strings.Contains(err.Error(), "records 0 to 6") {
			t.Errorf("fault %v", err)
		}
	})
}

func TestFirstRecordsThatFailAlikeAreToldEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{limit: 1, do: func(ctx context.Context, _ string, _ int) ([]byte, error) {
			time.Sleep(time.Second)
			return nil, &batholith.Failure{Kind: batholith.FailureBadRecord, Status: 400, Message: "max_tokens is too large"}
		}}
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.job("a", 1000, 100))
		defer w.start(d)()
		w.await(11, "a")
		if note := w.note("a"); !strings.Contains(note, "max_tokens is too large") {
			t.Errorf("note %q", note)
		}
		if e := d.FirstError("a"); e == nil || e.Code != 400 {
			t.Errorf("first error %v", e)
		}
	})
}

// Notes are in the database, which is not encrypted: where prompts are, no note has a server's words, which may quote them.
func TestNotesOfEncryptedJobsKeepAServersWordsOut(t *testing.T) {
	for name, discreet := range map[string]bool{"a key of the job": false, "a key of the data": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s := &server{limit: 1, do: func(context.Context, string, int) ([]byte, error) {
					time.Sleep(time.Second)
					return nil, &batholith.Failure{Kind: batholith.FailureBadRecord, Status: 400, Message: "cannot take planted-prompt"}
				}}
				d := w.dispatcher(Options{Discreet: discreet}, s)
				job := w.job("a", 1000, 100)
				if !discreet {
					job.KMSKeyID = "alias/prompts"
				}
				d.Enqueue(job)
				defer w.start(d)()
				w.await(11, "a")
				if note := w.note("a"); !strings.Contains(note, "400") || strings.Contains(note, "planted") {
					t.Errorf("note %q", note)
				}
				if e := d.FirstError("a"); e == nil || e.Code != 400 || strings.Contains(e.Message, "planted") {
					t.Errorf("first error %v", e)
				}
			})
		})
	}
}

func TestRecordsWithAnOutcomeAreNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(0)
		d := w.dispatcher(Options{}, s)
		job := w.job("a", 20, 10)
		for i := range 7 {
			w.chunks["a"][0].Done.Set(i)
		}
		d.Enqueue(job)
		defer w.start(d)()
		w.await(13, "a")
		if all, _ := s.requests(); all != 13 || s.asked[`{"n":6}`] != 0 {
			t.Errorf("%d requests: %v", all, s.asked)
		}
	})
}

func TestAChunkWhoseClaimFailedAfterItsEffectIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(0)
		w.claimed = func(nth int) error {
			if nth == 2 {
				return errors.New("the answer was lost")
			}
			return nil
		}
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.job("a", 50, 10))
		defer w.start(d)()
		w.await(50, "a")
		if all, _ := s.requests(); all != 50 {
			t.Errorf("%d requests for 50 records", all)
		}
	})
}
