package dispatch

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// over is a server that is reached through a network.
type over struct {
	*server
	network string
	down    *switched

	mu   sync.Mutex
	sent int
}

func (o *over) Key() string    { return o.network }
func (o *over) Server() string { return "one" }

func (o *over) Probe(ctx context.Context) error {
	if why := o.down.why(); why != "" {
		return &batholith.Failure{Kind: batholith.FailureUnreachable, Public: why, Message: why}
	}
	return o.server.Probe(ctx)
}

func (o *over) Do(ctx context.Context, c batholith.Call) ([]byte, error) {
	if why := o.down.why(); why != "" {
		return nil, &batholith.Failure{Kind: batholith.FailureUnreachable, Public: why, Message: why}
	}
	o.mu.Lock()
	o.sent++
	o.mu.Unlock()
	return o.server.Do(ctx, c)
}

// switched is a reason that a test can change.
type switched struct {
	mu   sync.Mutex
	text string
}

func (s *switched) why() string { s.mu.Lock(); defer s.mu.Unlock(); return s.text }

func (s *switched) set(text string) { s.mu.Lock(); defer s.mu.Unlock(); s.text = text }

// routed is a dispatcher whose jobs use the network that begins their ids, on the way to one server.
func (w *world) routed(s *server, o Options, networks ...string) (*Dispatcher, map[string]*over) {
	ways := map[string]*over{}
	for _, n := range networks {
		ways[n] = &over{server: s, network: n, down: &switched{}}
	}
	d := w.dispatcher(o)
	d.o.Serving = func(j batholith.Job) (Serving, error) {
		n, _, _ := strings.Cut(j.ID, "-")
		return Serving{Model: j.ModelID, Network: n, Backends: []Backend{ways[n]}, Dialect: always(plain{})}, nil
	}
	return d, ways
}

func enqueue(t *testing.T, d *Dispatcher, j batholith.Job) {
	t.Helper()
	d.Enqueue(j)
}

func TestNetworksShareTheLimitOfTheirServer(t *testing.T) {
	for _, limit := range []int{1, 3} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				s := answering(time.Second)
				s.limit = limit
				d, ways := w.routed(s, Options{}, "a", "b")
				defer w.start(d)()
				enqueue(t, d, w.job("a-1", 30, 10))
				synctest.Wait()
				time.Sleep(5 * time.Second) // the lane of a has begun, and has the server for itself
				enqueue(t, d, w.job("b-1", 30, 10))
				time.Sleep(20 * time.Second)
				synctest.Wait()
				ways["a"].mu.Lock()
				ways["b"].mu.Lock()
				a, b := ways["a"].sent, ways["b"].sent
				ways["a"].mu.Unlock()
				ways["b"].mu.Unlock()
				if done := 24 * limit; min(a, 30)+min(b, 30) < min(done, 60) {
					t.Errorf("%d and %d records in 25 s: slots stayed empty", a, b)
				}
				if limit == 1 && (b < 9 || b > 11) {
					t.Errorf("%d of about 20 records were sent through b, while both had records", b)
				}
				w.await(30, "a-1")
				w.await(30, "b-1")
				enqueue(t, d, w.job("b-2", 5, 5)) // the lane of a has nothing to send, and must not keep a slot
				w.await(5, "b-2")
				s.mu.Lock()
				defer s.mu.Unlock()
				if s.most > limit {
					t.Errorf("%d requests were in flight, with a limit of %d", s.most, limit)
				}
			})
		})
	}
}

func TestAServerThatOneNetworkDoesNotReachServesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d, ways := w.routed(answering(time.Second), Options{}, "a", "b")
		const why = "security group sg-b has no egress rule for 10.1.2.3:8000"
		ways["b"].down.set(why)
		defer w.start(d)()
		enqueue(t, d, w.job("b-1", 10, 10))
		enqueue(t, d, w.job("a-1", 10, 10))
		w.await(10, "a-1")
		synctest.Wait()
		w.mu.Lock()
		noted, other, begun := w.notes["b-1"], w.notes["a-1"], fmt.Sprint(w.begun)
		w.mu.Unlock()
		if !strings.Contains(noted, why) || other != "" || begun != "[a-1]" {
			t.Errorf("notes %q and %q, begun %s", noted, other, begun)
		}
		ways["b"].down.set("")
		w.await(10, "b-1")
		ways["a"].down.set("gone") // and the other way round, after both have worked
		enqueue(t, d, w.job("a-2", 10, 10))
		enqueue(t, d, w.job("b-2", 10, 10))
		w.await(10, "b-2")
		ways["a"].down.set("")
		w.await(10, "a-2")
	})
}
