package dispatch

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// A pause keeps what is in flight, sends nothing new, leaves the slots to other jobs and holds no chunk.
func TestAJobThatRestsKeepsWhatIsInFlightAndHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(10*time.Second)
		s.limit = 4
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.job("a", 100, 10))
		defer w.start(d)()
		w.await(8, "a")
		time.Sleep(time.Second)
		before, _ := s.requests()
		if err := d.Rest(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if now, repeated := s.requests(); now != before || repeated != 0 || w.count("a") != before || s.busy() != 0 {
			t.Errorf("%d requests were sent during the pause, %d repeated; %d of %d were kept, %d in flight", now-before, repeated, w.count("a"), before, s.busy())
		}
		if n := w.leased("a"); n > 0 {
			t.Errorf("%d chunks are leased", n)
		}
		if f, ok := d.Forecast("a"); ok {
			t.Errorf("a job that rests has the forecast %+v", f)
		}
		began := time.Now()
		d.Enqueue(w.jobOf("b", 40, 10, func(n int) string { return fmt.Sprintf(`{"b":%d}`, n) }))
		w.await(40, "b")
		if took := time.Since(began); took > 101*time.Second {
			t.Errorf("40 records with four slots took %s beside a job that rests", took)
		}
		if now, _ := s.requests(); now != before+40 {
			t.Errorf("%d requests of a job that rests", now-before-40)
		}
		d.Enqueue(w.jobAgain("a"))
		w.await(100, "a")
		if _, repeated := s.requests(); repeated != 0 || len(w.twice) > 0 {
			t.Errorf("%d records were asked more than once; outcomes twice: %v", repeated, w.twice)
		}
	})
}

// A record that fails while its job comes to rest is not retried before the job goes on.
func TestAJobThatRestsRetriesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &server{limit: 4}
		s.do = func(ctx context.Context, body string, nth int) ([]byte, error) {
			if _, err := wait(ctx, 10*time.Second); err != nil || nth > 1 {
				return []byte(`"ok"`), err
			}
			return nil, &batholith.Failure{Kind: batholith.FailureRetry, Status: 500, Message: "once", Sent: true}
		}
		d := w.dispatcher(Options{}, s)
		d.Enqueue(w.job("a", 4, 10))
		defer w.start(d)()
		time.Sleep(5 * time.Second)
		if err := d.Rest(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if now, _ := s.requests(); now != 4 || w.leased("a") != 0 {
			t.Errorf("%d requests, %d chunks leased", now, w.leased("a"))
		}
		time.Sleep(time.Hour)
		if now, _ := s.requests(); now != 4 {
			t.Errorf("%d requests after the job came to rest", now-4)
		}
		d.Enqueue(w.jobAgain("a"))
		w.await(4, "a")
	})
}

// A job that goes on before its last request has landed waits for it, so that no record is sent twice; and a halt ends both.
func TestAJobThatGoesOnWhileItComesToRestRepeatsNothing(t *testing.T) {
	for _, halted := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w, s := newWorld(t), answering(10*time.Second)
			s.limit = 4
			d := w.dispatcher(Options{}, s)
			d.Enqueue(w.job("a", 20, 10))
			defer w.start(d)()
			w.await(4, "a")
			time.Sleep(time.Second)
			resumed, cancel := context.WithCancelCause(t.Context())
			over := make(chan error, 1)
			go func() { over <- d.Rest(resumed, "a") }()
			synctest.Wait()
			why := errors.New("resumed")
			cancel(why)
			if err := <-over; !errors.Is(err, why) {
				t.Fatal(err)
			}
			d.Enqueue(w.jobAgain("a"))
			if halted {
				if err := d.Halt(t.Context(), "a", batholith.ErrStopped); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour)
				if now, _ := s.requests(); now != 8 {
					t.Errorf("%d requests after a halt", now-8)
				}
				return
			}
			w.await(20, "a")
			if _, repeated := s.requests(); repeated != 0 || len(w.twice) > 0 {
				t.Errorf("%d records were asked more than once; outcomes twice: %v", repeated, w.twice)
			}
		})
	}
}
