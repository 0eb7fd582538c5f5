package dispatch

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// five is an input of one of five, fixed or not.
func five(fixed bool) func(int) string {
	return func(n int) string {
		if fixed {
			return fmt.Sprintf(`{"q":%d,"temperature":0}`, n%5)
		}
		return fmt.Sprintf(`{"q":%d,"temperature":1}`, n%5)
	}
}

func TestIdenticalFixedRecordsAreSentOnceAndAllAnswered(t *testing.T) {
	for _, c := range []struct {
		name         string
		reuse, fixed bool
		requests     int
	}{{"as asked", true, true, 5}, {"not fixed", true, false, 3000}, {"not asked", false, true, 3000}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s := newWorld(t), &server{}
				s.do = func(ctx context.Context, body string, _ int) ([]byte, error) {
					if _, err := wait(ctx, time.Second); err != nil {
						return nil, err
					}
					return []byte(fmt.Sprintf(`{"of":%s}`, body)), nil
				}
				d := w.dispatcher(Options{Reuse: c.reuse}, s)
				d.Enqueue(w.jobOf("a", 3000, 500, five(c.fixed)))
				defer w.start(d)()
				w.await(3000, "a")
				if all, _ := s.requests(); all != c.requests {
					t.Errorf("%d requests, want %d", all, c.requests)
				}
				var ledger batholith.Ledger
				tokens := batholith.Tokens{}
				for _, o := range w.outcomes["a"] {
					ledger.Note(&o)
					tokens = tokens.Add(o.Tokens)
				}
				if want := int64(3000 - c.requests); ledger.Reused != want || ledger.Attempts != int64(c.requests) || tokens.Output != int64(c.requests) {
					t.Errorf("%d reused, %d attempts, %d tokens, want %d and %d", ledger.Reused, ledger.Attempts, tokens.Output, want, c.requests)
				}
				if got, want := w.lines["a-1234"], five(c.fixed)(4); got != fmt.Sprintf(`{"recordId":"a-1234","modelInput":%s,"modelOutput":{"of":%s}}`+"\n", want, want) {
					t.Errorf("line %q", got)
				}
			})
		})
	}
}

// A record that gets another's answer is over: the room that its chunk takes is given back.
func TestRecordsThatAreNotSentGiveBackTheirRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), &server{}
		s.do = func(ctx context.Context, body string, _ int) ([]byte, error) {
			if strings.Contains(body, "last") {
				return wait(ctx, time.Hour)
			}
			return wait(ctx, time.Second)
		}
		d := w.dispatcher(Options{Reuse: true}, s)
		d.Enqueue(w.jobOf("a", 3000, 500, func(n int) string {
			if n == 2999 {
				return `{"last":true,"temperature":0}`
			}
			return five(true)(n)
		}))
		defer w.start(d)()
		w.await(2999, "a")
		synctest.Wait()
		q := d.queues[route{model: "model"}]
		q.mu.Lock()
		defer q.mu.Unlock()
		if held, last := q.held, w.chunks["a"][5].Bytes; held != last {
			t.Errorf("%d bytes are held, want the %d of the last chunk", held, last)
		}
	})
}

func TestTwinsOfARecordThatFailsAreAskedThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), &server{}
		s.do = func(_ context.Context, body string, nth int) ([]byte, error) {
			if nth <= 4 && !isCanary(body) { // the first of them spends its attempts
				return nil, &batholith.Failure{Kind: batholith.FailureRetry, Status: 500, Message: "ill"}
			}
			return []byte(`{}`), nil
		}
		d := w.dispatcher(Options{Reuse: true}, s)
		d.Enqueue(w.jobOf("a", 100, 50, func(int) string { return `{"seed":1}` }))
		defer w.start(d)()
		w.await(100, "a")
		if all, _ := s.requests(); all != 5 || w.errors("a") != 1 {
			t.Errorf("%d requests and %d errors, want 5 and 1", all, w.errors("a"))
		}
	})
}

func TestTwinsThatAreLetGoAreAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(3*time.Second)
		d := w.dispatcher(Options{Reuse: true}, s)
		d.Enqueue(w.jobOf("a", 1000, 50, five(true)))
		defer w.start(d)()
		time.Sleep(time.Second)
		w.mu.Lock()
		w.dead = true
		w.mu.Unlock()
		time.Sleep(time.Minute)
		w.mu.Lock()
		w.dead = false
		w.mu.Unlock()
		w.await(1000, "a")
		if len(w.twice) > 0 {
			t.Errorf("outcomes twice: %v", w.twice)
		}
	})
}
