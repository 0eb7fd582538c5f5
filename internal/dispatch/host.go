package dispatch

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/batholith/batholith/internal/limit"
	"github.com/batholith/batholith/internal/memory"
)

// host is one model server, for all lanes that reach it through different networks. The number of requests that it can work on is its own,
// so the lanes share one limit. Each lane has probes, pauses and canaries of its own, because one network may reach the server and another may
// not.
//
// A lane takes its turn before it acquires a slot, and gives it up when it has found a record, or that it has none. Turns are given in the
// order in which they were asked for, so lanes with records get equally many slots. A lane that shares its server, or whose server gets interactive
// calls, holds no slot while it waits for a record; else it would keep the slot from the others.
type host struct {
	limit   *limit.Limiter
	answers *memory.Account
	turn    chan struct{} // 1-buffered, never closed; full while a lane has its turn
	called  atomic.Bool   // interactive calls use the server
	known   atomic.Bool   // a lane has begun to learn what the server publishes
	learned chan struct{} // closed when it has; from then on watcher belongs to the goroutine of observe
	watcher watcher
	member  member // belongs to the goroutine of Dispatcher.shares

	mu     sync.Mutex
	lanes  []*lane   // the first one observes the server
	named  [2]string // of the table of loads: server and model, equal in all processes; empty: no other process reaches the server
	before []*lane   // of removed backends that had this host; the next lane begins when they have ended
}

// host returns the host of a backend, and makes it at the first call. The caller holds d.mu.
func (d *Dispatcher) host(b Backend) *host {
	var key any = b
	if s, ok := b.(interface{ Server() string }); ok {
		key = s.Server()
	}
	h := d.hosts[key]
	if h == nil {
		h = d.heir(b)
	}
	if h == nil {
		h = &host{limit: limit.New(b.MaxInFlight()), answers: d.o.Room.Account(answerFloor), turn: make(chan struct{}, 1), learned: make(chan struct{})}
		d.enlist(h, b)
	}
	d.hosts[key] = h
	return h
}

// join adds a lane. A lane that waits for a record with a slot in hand is woken, so that it gives the slot up.
func (h *host) join(l *lane) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, other := range h.lanes {
		other.wakeUp()
	}
	h.lanes = append(h.lanes, l)
	l.after, h.before = h.before, nil
}

// shared reports whether several lanes reach the server.
func (h *host) shared() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.lanes) > 1
}

// observes reports whether l reads the server's gauges.
func (h *host) observes(l *lane) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lanes[0] == l
}

// reader returns a lane through which the server can be read now: a usable one, else the first.
func (h *host) reader() *lane {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.lanes {
		if l.usable() {
			return l
		}
	}
	return h.lanes[0]
}

// reachedBeside reports whether another lane than l reaches the server.
func (h *host) reachedBeside(l *lane) bool {
	other := h.reader()
	return other != l && other.usable()
}

// enter waits for the turn of a lane. It returns the cause of ctx if that ends first.
func (h *host) enter(ctx context.Context) error {
	select {
	case h.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// leave ends the turn.
func (h *host) leave() { <-h.turn }
