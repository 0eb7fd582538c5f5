package dispatch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/raced"
	"github.com/batholith/batholith/internal/simlm"
)

// askFor makes one call of a body.
func askFor(ctx context.Context, d *Dispatcher, s Serving, body string) (string, error) {
	var answer batholith.Answer
	err := d.Interact(ctx, s, Request{Body: []byte(body)}, func(ctx context.Context, t *Turn) (err error) {
		answer, err = t.Ask(ctx)
		return err
	})
	return string(answer.Output), err
}

func servedBy(backends ...Backend) Serving {
	return Serving{Model: "model", Backends: backends, Dialect: always(plain{})}
}

// failsFirst answers with these failures, one after the other, and then with "ok".
func failsFirst(failures ...batholith.Failure) *server {
	s := &server{limit: 4}
	var n atomic.Int64
	s.do = func(ctx context.Context, body string, _ int) ([]byte, error) {
		if i := n.Add(1) - 1; !isCanary(body) && int(i) < len(failures) {
			f := failures[i]
			return nil, &f
		}
		return wait(ctx, 10*time.Millisecond)
	}
	return s
}

// A call that one server fails is answered by another, or by the same one after a short wait, and no failure that a repeat cannot mend is
// repeated.
func TestACallOutlivesTheFailureOfAServer(t *testing.T) {
	var (
		broken  = batholith.Failure{Kind: batholith.FailureRetry, Status: 500, Sent: true}
		pressed = batholith.Failure{Kind: batholith.FailureBackPressure, Status: 429, RetryAfter: time.Second}
		away    = batholith.Failure{Kind: batholith.FailureUnreachable, Public: "refuses connections"}
		locked  = batholith.Failure{Kind: batholith.FailureMisconfigured, Status: 401}
		bad     = batholith.Failure{Kind: batholith.FailureBadRecord, Status: 400}
		patient = batholith.Failure{Kind: batholith.FailureBackPressure, Status: 429, RetryAfter: time.Hour}
	)
	for _, c := range []struct {
		name        string
		first       *server
		others      []Backend
		body        string
		ok          bool
		asked, most int // requests to the first server; time in seconds
	}{
		{"broken once, alone", failsFirst(broken), nil, `{}`, true, 2, 1},
		{"broken, with another", failsFirst(broken, broken, broken, broken), []Backend{failsFirst()}, `{}`, true, 1, 0},
		{"broken for good", failsFirst(broken, broken, broken, broken, broken), nil, `{}`, false, callAttempts, 2},
		{"a server that runs tools", failsFirst(broken), nil, `{"web_search":1}`, false, 1, 0},
		{"busy for a second", failsFirst(pressed), nil, `{}`, true, 2, 2},
		{"busy for a second, with another", failsFirst(pressed), []Backend{failsFirst()}, `{}`, true, 1, 0},
		{"busy for an hour", failsFirst(patient), nil, `{}`, false, 1, 0},
		{"out of reach, with another", failsFirst(away), []Backend{failsFirst()}, `{}`, true, 1, 0},
		{"out of reach once, alone", failsFirst(away), nil, `{}`, true, 2, 2},
		{"a wrong key, alone", failsFirst(locked), nil, `{}`, false, 1, 0},
		{"a wrong key, with another", failsFirst(locked), []Backend{failsFirst()}, `{}`, true, 1, 0},
		{"a bad body, with another", failsFirst(bad), []Backend{failsFirst()}, `{}`, false, 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				d := w.dispatcher(Options{})
				defer w.start(d)()
				all := servedBy(append([]Backend{c.first}, c.others...)...)
				if err := d.Interact(t.Context(), all, Request{Body: []byte(`{}`)}, func(context.Context, *Turn) error { return nil }); err != nil {
					t.Fatal(err)
				}
				synctest.Wait() // all servers are checked
				began := time.Now()
				_, err := askFor(t.Context(), d, all, c.body)
				if (err == nil) != c.ok {
					t.Errorf("error %v", err)
				}
				if n := c.first.askedFor(c.body); n != c.asked {
					t.Errorf("%d requests, want %d", n, c.asked)
				}
				if took := time.Since(began); took > time.Duration(c.most)*time.Second+500*time.Millisecond {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

// Once the client has got something of the answer, the call is not sent again.
func TestACallIsNotRepeatedAfterItsFirstByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d := w.dispatcher(Options{})
		defer w.start(d)()
		turns := 0
		err := d.Interact(t.Context(), servedBy(failsFirst(), failsFirst()), Request{Body: []byte(`{}`)}, func(ctx context.Context, turn *Turn) error {
			turns++
			turn.Begun()
			if _, err := turn.Ask(ctx); err != nil {
				return err
			}
			return &batholith.Failure{Kind: batholith.FailureRetry, Crash: true, Sent: true}
		})
		if f := new(batholith.Failure); !errors.As(err, &f) || turns != 1 {
			t.Errorf("%d turns, %v", turns, err)
		}
	})
}

// A client that goes frees its slot and ends the request, and one that waits leaves the queue.
func TestACallEndsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Hour)
		s.limit = 1
		d := w.dispatcher(Options{})
		defer w.start(d)()
		gone := errors.New("gone")
		ended := make(chan error, 2)
		ctx, leave := context.WithCancelCause(t.Context())
		for _, body := range []string{`{"a":1}`, `{"b":1}`} { // one is sent, one waits
			go func() {
				_, err := askFor(ctx, d, servedBy(s), body)
				ended <- err
			}()
		}
		time.Sleep(time.Second)
		if s.busy() != 1 {
			t.Fatalf("%d requests at the server", s.busy())
		}
		leave(gone)
		for range 2 {
			if err := <-ended; !errors.Is(err, gone) {
				t.Error(err)
			}
		}
		synctest.Wait()
		if s.busy() > 0 || d.InFlight() > 0 {
			t.Error("the request goes on without its client")
		}
		s.do = func(ctx context.Context, _ string, _ int) ([]byte, error) { return wait(ctx, time.Second) }
		if _, err := askFor(t.Context(), d, servedBy(s), `{"c":1}`); err != nil {
			t.Errorf("the slot was not freed: %v", err)
		}
	})
}

// The wait of calls is bounded in number and in time.
func TestNoCallWaitsForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Hour)
		s.limit = 2
		d := w.dispatcher(Options{})
		defer w.start(d)()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		began := time.Now()
		busy := make(chan time.Duration, 200)
		for i := range 2 + leastQueue + 5 {
			go func() {
				if _, err := askFor(ctx, d, servedBy(s), fmt.Sprintf(`{"n":%d}`, i)); errors.Is(err, batholith.ErrBusy) {
					busy <- time.Since(began)
				}
			}()
		}
		time.Sleep(time.Second)
		if len(busy) != 5 {
			t.Errorf("%d calls were refused at once, want 5", len(busy))
		}
		time.Sleep(callPatience)
		if len(busy) != 5+leastQueue {
			t.Errorf("%d calls were refused after the wait, want all but 2", len(busy))
		}
	})
}

// A server that cannot be used is told from a busy one, and a call waits for its first check.
func TestACallOfAModelWithoutAServerIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Millisecond)
		var back atomic.Bool
		s.probe = func(int) error {
			if back.Load() {
				return nil
			}
			return &batholith.Failure{Kind: batholith.FailureUnreachable, Public: "fake refuses connections"}
		}
		d := w.dispatcher(Options{})
		defer w.start(d)()
		_, err := askFor(t.Context(), d, servedBy(s), `{}`)
		if e := new(batholith.NotReadyError); !errors.As(err, &e) || !strings.Contains(e.Why, "refuses connections") {
			t.Errorf("got %v", err)
		}
		back.Store(true)
		time.Sleep(lastProbe)
		if _, err := askFor(t.Context(), d, servedBy(s), `{}`); err != nil {
			t.Errorf("the server is back: %v", err)
		}
	})
}

// A lane without records holds no slot that a call could have.
func TestAnIdleLaneLeavesItsOnlySlotToCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Second)
		s.limit = 1
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.job("a", 3, 10))
		defer w.start(d)()
		w.await(3, "a")
		synctest.Wait()
		began := time.Now()
		if _, err := askFor(t.Context(), d, servedBy(s), `{}`); err != nil || time.Since(began) > time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		d.Enqueue(w.job("b", 3, 10))
		w.await(3, "b")
	})
}

// Calls go ahead of the records of every network that reaches the server.
func TestCallsGoAheadOfTheJobsOfAllNetworks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Second)
		s.limit = 4
		d, ways := w.routed(s, Options{}, "one", "two", "")
		d.Enqueue(w.job("one-a", 400, 100))
		d.Enqueue(w.job("two-b", 400, 100))
		defer w.start(d)()
		time.Sleep(1500 * time.Millisecond)
		began := time.Now()
		if _, err := askFor(t.Context(), d, servedBy(ways[""]), `{"call":1}`); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the call took %s, where a record takes 1 s", took)
		}
		if _, err := askFor(t.Context(), d, servedBy(ways[""]), `{"call":2}`); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the second call ended %s after the first began: no slot was kept for it", took)
		}
		w.await(400, "one-a", "two-b")
	})
}

// A record that must be sent alone is sent alone beside calls too, and the calls go on afterwards.
func TestARecordThatMustBeAloneIsAloneBesideCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{limit: 8}
		s.do = func(ctx context.Context, body string, _ int) ([]byte, error) {
			if strings.Contains(body, `"n":13}`) { // it crashes the server
				if _, err := wait(ctx, 20*time.Millisecond); err != nil {
					return nil, err
				}
				return nil, &batholith.Failure{Kind: batholith.FailureRetry, Crash: true, Sent: true}
			}
			return wait(ctx, 100*time.Millisecond)
		}
		d := w.dispatcher(Options{Attempts: 2}, s)
		d.Enqueue(w.job("a", 40, 40))
		defer w.start(d)()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var answered atomic.Int64
		for i := range 3 { // calls without a pause
			go func() {
				for n := 0; ctx.Err() == nil; n++ {
					if _, err := askFor(ctx, d, servedBy(s), fmt.Sprintf(`{"call":%d}`, i)); err == nil {
						answered.Add(1)
					}
				}
			}()
		}
		w.await(40, "a")
		if n := w.errors("a"); n != 1 {
			t.Errorf("%d records ended with an error, want the one that crashes the server", n)
		}
		before := answered.Load()
		time.Sleep(time.Second)
		if answered.Load() < before+20 {
			t.Errorf("calls are not answered any more: %d in a second", answered.Load()-before)
		}
	})
}

// A shutdown waits for calls in flight, and takes no new ones.
func TestAShutdownFinishesCallsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(5*time.Second)
		d := w.dispatcher(Options{Drain: 10 * time.Second})
		stop := w.start(d)
		ended := make(chan error, 1)
		go func() {
			_, err := askFor(context.Background(), d, servedBy(s), `{}`)
			ended <- err
		}()
		time.Sleep(time.Second)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, err := askFor(t.Context(), d, servedBy(s), `{}`); !errors.Is(err, batholith.ErrShutdown) {
			t.Errorf("a call after the shutdown: %v", err)
		}
	})
}

// A client's wrong bodies do not stop the jobs of others.
func TestBadCallsPauseNoRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{limit: 4}
		s.do = func(ctx context.Context, body string, _ int) ([]byte, error) {
			if strings.Contains(body, "bad") {
				return nil, &batholith.Failure{Kind: batholith.FailureBadRecord, Status: 400, Sent: true}
			}
			return wait(ctx, time.Second)
		}
		d := w.dispatcher(Options{}, s)
		defer w.start(d)()
		for i := range 3 * refusedAlike {
			if _, err := askFor(t.Context(), d, servedBy(s), fmt.Sprintf(`{"bad":%d}`, i)); err == nil {
				t.Fatal("a bad body was answered")
			}
		}
		d.Enqueue(w.jobOf("a", 40, 40, func(n int) string {
			if n == 0 {
				return `{"bad":"record"}`
			}
			return fmt.Sprintf(`{"n":%d}`, n)
		}))
		began := time.Now()
		w.await(40, "a")
		if took := time.Since(began); took > 15*time.Second || w.errors("a") != 1 {
			t.Errorf("it took %s, %d errors", took, w.errors("a"))
		}
	})
}

// More slots of the server are found although calls come all the time, and a server with fewer is not overrun.
func TestTheSlotsAreFollowedWhileCallsCome(t *testing.T) {
	for i, c := range []struct{ from, to int }{{32, 96}, {96, 32}} {
		if raced.On && i > 0 {
			continue
		}
		t.Run(fmt.Sprintf("from %d to %d", c.from, c.to), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := loaded(t, simlm.Options{Engine: simlm.EngineVLLM, Schedule: []simlm.Slots{{Count: c.from}, {From: 30 * time.Second, Count: c.to}}}, 25000)
				defer v.w.start(v.d)()
				ctx, cancel := context.WithCancel(t.Context())
				time.Sleep(5 * time.Second)
				var calls sync.WaitGroup
				defer calls.Wait()
				defer cancel()
				calls.Go(func() {
					for ctx.Err() == nil {
						v.call(10)
						time.Sleep(200 * time.Millisecond)
					}
				})
				time.Sleep(4 * time.Minute)
				cancel()
				s := v.server.Stats().Series
				running, waiting, n := 0, 0, 0
				for i := int(3.5 * 60 / s.Interval); i < int(4*60/s.Interval); i++ {
					running, waiting, n = running+s.Running[i], waiting+s.Waiting[i], n+1
				}
				// A request waits for the next step before it runs, so that a few wait at any time although a slot is free.
				if busy := float64(running) / float64(n*c.to); busy < 0.85 || running+waiting > n*c.to {
					t.Errorf("%.3f of the slots are busy, and %.2f requests wait", busy, float64(waiting)/float64(n))
				}
			})
		})
	}
}
