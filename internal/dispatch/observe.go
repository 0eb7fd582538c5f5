package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/limit"
)

// How often a backend is asked about itself while it has requests of ours, and not at all when it has none.
const (
	readTimeout = 2 * time.Second
	blindAfter  = 8           // readings in a row that failed: it has no gauges any more
	askAgain    = time.Minute // for gauges, of a backend that has none; for its slots, of one that publishes them
	saveEvery   = time.Minute
	keepFresh   = 24 * time.Hour // what is kept is kept again after so long, the same or not
	forgetAfter = 7 * 24 * time.Hour
)

// Memory keeps over restarts how many requests a backend takes at once.
type Memory interface {
	// Learned returns what is kept, or batholith.ErrNotFound.
	Learned(ctx context.Context, backend, model string) (batholith.Learned, error)
	Learn(ctx context.Context, l batholith.Learned) error
}

// watcher asks a backend about itself. Its fields belong to the goroutine of observe, and before that to the lane's.
type watcher struct {
	known  bool // it was asked once
	reads  bool // it has gauges
	fails  int
	missed time.Time // when it was last asked for gauges in vain
	asked  time.Time // when it was last asked for its slots
	saved  time.Time
	limit  int       // as last kept,
	kept   time.Time // and when
}

// learn asks a backend that has just been found usable what it publishes, and begins where an earlier process left off. After an outage
// it may be another server that answers.
func (l *lane) learn(ctx context.Context) {
	first := !l.watcher.known
	l.watcher.known = true
	if l.backend.MaxInFlight() > 0 {
		return
	}
	if n, ok := l.backend.Slots(ctx); ok {
		l.limit.Publish(n)
	}
	if !first {
		return
	}
	l.watcher.asked, l.watcher.saved = time.Now(), time.Now()
	if m := l.d.o.Memory; m != nil {
		switch was, err := m.Learned(ctx, l.backend.String(), l.backend.ModelName()); {
		case err == nil && time.Since(was.At) < forgetAfter:
			l.limit.Resume(was.Limit)
			l.watcher.limit, l.watcher.kept = was.Limit, was.At
		case err != nil && !errors.Is(err, batholith.ErrNotFound) && ctx.Err() == nil:
			l.d.o.Log.Warn("the limit of a backend is found anew", "backend", l.backend.String(), "err", err)
		}
	}
	l.read(ctx)
}

// observe looks at the backend while requests are in flight, until ctx ends.
func (l *lane) observe(ctx context.Context) {
	defer l.save(context.WithoutCancel(ctx))
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.limit.Sending():
		}
		if l.look(ctx) != nil {
			return
		}
	}
}

// look reads the gauges time and again, until nothing is in flight any more.
func (l *lane) look(ctx context.Context) error {
	tick := time.NewTicker(l.limit.ReadEvery())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if !l.limit.Busy() {
			return nil
		}
		l.read(ctx)
		tick.Reset(l.limit.ReadEvery())
		if l.d.o.Trace != nil {
			l.d.o.Trace(l.sample())
		}
		if time.Since(l.watcher.saved) >= saveEvery {
			l.save(ctx)
		}
	}
}

// read takes a reading of the gauges. A backend that has none, or none any more, is asked again after a while.
func (l *lane) read(ctx context.Context) {
	w := &l.watcher
	if l.backend.MaxInFlight() > 0 {
		return
	}
	if l.limit.Published() && time.Since(w.asked) >= askAgain {
		w.asked = time.Now()
		if n, ok := l.backend.Slots(ctx); ok {
			l.limit.Publish(n)
		}
	}
	if !w.reads && w.fails > 0 && time.Since(w.missed) < askAgain {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	g, ok := l.backend.Gauges(ctx)
	if ok {
		w.reads, w.fails = true, 0
		l.limit.Gauge(g)
		return
	}
	w.missed = time.Now()
	if w.fails++; w.reads && w.fails >= blindAfter {
		w.reads = false
		l.limit.Blind()
	}
}

// save keeps what was found, when it is something else than before. What the operator or the server says need not be kept.
func (l *lane) save(ctx context.Context) {
	w, m := &l.watcher, l.d.o.Memory
	s := l.sample()
	w.saved = s.At
	known := s.Limit*20 >= w.limit*19 && s.Limit*20 <= w.limit*21 && s.At.Sub(w.kept) < keepFresh
	if m == nil || known || !l.limit.Found() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	err := m.Learn(ctx, batholith.Learned{Backend: s.Backend, Model: s.Model, Limit: s.Limit, Goodput: s.Goodput, At: s.At})
	if err != nil {
		l.d.o.Log.Warn("keep the limit of a backend", "backend", s.Backend, "err", err)
		return
	}
	w.limit, w.kept = s.Limit, s.At
}

// sample tells how the lane stands.
func (l *lane) sample() limit.Sample {
	s := l.limit.Sample()
	s.Backend, s.Model = l.backend.String(), l.backend.ModelName()
	return s
}
