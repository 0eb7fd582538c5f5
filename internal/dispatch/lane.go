package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/limit"
	"github.com/batholith/batholith/internal/memory"
)

// How long a backend that is out is left alone before it is probed again; it doubles up to the last.
const (
	firstProbe = 250 * time.Millisecond
	lastProbe  = 10 * time.Second
)

// brokenAfter is how many counted failures in a row, with no success between, take a backend out: it is broken, not the records.
const brokenAfter = 16

// lane is one backend of a model and the requests in flight to it. It is out until a first probe has succeeded.
type lane struct {
	q       *queue
	backend Backend
	limit   *limit.Limiter
	retries *budget
	answers *memory.Account
	watcher watcher
	last    *dialect.Prompt // of the record that was sent last in the walk; guarded by q.mu
	leaders leaders         // guarded by q.mu
	hand    chan *item      // unbuffered; to a sender that is idle

	mu       sync.Mutex
	out      string // why the backend cannot be used; empty when it can
	failures int    // counted ones since the last success
	delay    time.Duration
}

func newLane(q *queue, b Backend) *lane {
	return &lane{q: q, backend: b, limit: limit.New(b.MaxInFlight()), retries: newBudget(), answers: q.d.o.Room.Account(answerFloor),
		hand: make(chan *item), out: "not asked yet", delay: firstProbe}
}

// run takes records and has each sent by a goroutine that has nothing else to do, until ctx ends.
func (l *lane) run(ctx context.Context) {
	watching := make(chan struct{})
	go func() { defer close(watching); l.watch(ctx) }()
	defer func() { <-watching }()
	for ctx.Err() == nil {
		if !l.usable() {
			l.probe(ctx)
			continue
		}
		if l.limit.Acquire(ctx) != nil {
			return
		}
		it, err := l.q.next(ctx, l)
		if err != nil {
			l.limit.Release()
			return
		}
		if !l.usable() {
			it.feed.back(it)
			l.limit.Release()
			continue
		}
		if it.suspect() {
			l.sendAlone(ctx, it)
			l.limit.Release()
			continue
		}
		select {
		case l.hand <- it:
		default:
			l.q.d.wg.Go(func() { l.sender(ctx, it) })
		}
	}
}

// idleSender is how long a sender waits for its next record.
const idleSender = 2 * time.Second

// sender sends a record, and others after it. It is worth keeping: the stack of a new goroutine has to grow first.
func (l *lane) sender(ctx context.Context, it *item) {
	idle := time.NewTimer(idleSender)
	defer idle.Stop()
	for {
		l.send(it)
		l.limit.Release()
		idle.Reset(idleSender)
		select {
		case it = <-l.hand:
		case <-idle.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// width is how many requests the backend gets at once, 0 while it cannot be used.
func (l *lane) width() int {
	if !l.usable() {
		return 0
	}
	return l.limit.Size()
}

func (l *lane) usable() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out == ""
}

// probe asks the backend whether it can be used, and waits before the next time when it cannot.
func (l *lane) probe(ctx context.Context) {
	err := l.backend.Probe(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		l.takeOut(ctx, reason(err))
		l.wait(ctx)
		return
	}
	if l.watcher.known {
		l.wait(ctx) // it has failed before, though it answers now
		l.limit.Retrial()
	}
	l.learn(ctx)
	l.mu.Lock()
	l.out = ""
	l.mu.Unlock()
	l.q.note(ctx, "", false)
	l.q.admit()
}

// wait passes the time until the next probe, longer each time.
func (l *lane) wait(ctx context.Context) {
	l.mu.Lock()
	delay := l.delay
	l.delay = min(2*l.delay, lastProbe)
	l.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-time.After(delay):
	}
}

// reason is why a backend cannot be used, in words that the users of every job and the log may have: nothing that a server sent is in
// them, for it may quote another tenant's request. An error that is no Failure is not from a server (see Backend).
func reason(err error) string {
	if f, ok := errors.AsType[*batholith.Failure](err); ok {
		return f.Reason()
	}
	return err.Error()
}

// takeOut stops the use of the backend. When no other serves the model, its jobs are told why they wait; those that came since, at the
// next probe.
func (l *lane) takeOut(ctx context.Context, why string) {
	l.mu.Lock()
	known := l.out == why
	l.out = why
	l.mu.Unlock()
	if !known {
		l.q.d.o.Log.Warn("backend cannot be used", "backend", l.backend.String(), "model", l.q.model, "why", why)
	}
	if !l.q.usable() {
		l.q.note(ctx, fmt.Sprintf("Records wait: model server %s cannot be used (%s). It is tried again.", l.backend, why), known)
	}
}

// succeeded notes that the backend answered a record, and the work in it.
func (l *lane) succeeded(it *item, work float64) {
	l.limit.Succeeded(it.flight, work)
	l.mu.Lock()
	l.failures, l.delay = 0, firstProbe
	l.mu.Unlock()
}

// failed notes a counted failure; after too many in a row the backend is taken out.
func (l *lane) failed(f *batholith.Failure) {
	l.mu.Lock()
	l.failures++
	broken := l.failures >= brokenAfter
	l.mu.Unlock()
	if broken {
		l.takeOut(l.q.d.send, fmt.Sprintf("%d requests in a row failed, the last with: %s", brokenAfter, reason(f)))
	}
}
