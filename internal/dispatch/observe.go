package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/limit"
)

// Times of reading and storing a backend's state. It is read only while requests are in flight.
const (
	readTimeout = 2 * time.Second
	blindAfter  = 8                  // failed readings in a row after which the backend counts as without gauges
	askAgain    = time.Minute        // between requests for the gauges of a backend without any, and for published slots
	saveEvery   = time.Minute        // between two looks whether the limit must be stored
	keepFresh   = 24 * time.Hour     // age after which an unchanged limit is stored again
	forgetAfter = 7 * 24 * time.Hour // age after which a stored limit is not used
)

// Memory stores the limit found for each backend, so that a restart does not search it from the beginning.
type Memory interface {
	// Learned returns the stored limit of a backend and model, or batholith.ErrNotFound.
	Learned(ctx context.Context, backend, model string) (batholith.Learned, error)
	// Learn replaces the stored limit.
	Learn(ctx context.Context, l batholith.Learned) error
}

// watcher is the state of reading a backend's metrics. Its fields belong to the goroutine of observe, and before that begins to the goroutine
// of the lane that learns.
type watcher struct {
	reads  bool      // the backend has gauges
	fails  int       // readings that failed in a row
	missed time.Time // latest failed reading
	asked  time.Time // latest request for the slots
	saved  time.Time // latest look whether the limit must be stored
	limit  int       // as stored last
	kept   time.Time // time of that
}

// learn reads what a backend publishes after a successful probe; after an outage it may be another server. At the first call it also
// resumes with the limit that an earlier process stored.
func (l *lane) learn(ctx context.Context) {
	l.rank(ctx)
	l.asks(ctx)
	first := l.host.known.CompareAndSwap(false, true)
	if first {
		defer close(l.host.learned)
	}
	n, ok := l.backend.Slots(ctx)
	l.slotted.Store(ok)
	if l.backend.MaxInFlight() > 0 {
		return
	}
	if ok {
		l.limit.Publish(n)
	}
	if !first {
		return
	}
	w := &l.host.watcher
	w.asked, w.saved = time.Now(), time.Now()
	if m := l.d.o.Memory; m != nil {
		switch was, err := m.Learned(ctx, l.backend.String(), l.backend.ModelName()); {
		case err == nil && time.Since(was.At) < forgetAfter:
			l.limit.Resume(was.Limit)
			w.limit, w.kept = was.Limit, was.At
		case err != nil && !errors.Is(err, batholith.ErrNotFound) && ctx.Err() == nil:
			l.d.o.Log.Warn("read the stored limit of a backend; it is searched again", "backend", l.backend.String(), "err", err)
		}
	}
	l.read(ctx)
}

// observe reads the backend's gauges while requests are in flight, until ctx ends. At the end it stores the limit.
func (l *lane) observe(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-l.host.learned:
	}
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

// look reads the gauges at intervals of limit.ReadEvery until nothing is in flight. It returns an error when ctx has ended.
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
		l.host.reader().read(ctx)
		tick.Reset(l.limit.ReadEvery())
		if l.d.o.Trace != nil {
			l.d.o.Trace(l.sample())
		}
		if time.Since(l.host.watcher.saved) >= saveEvery {
			l.save(ctx)
		}
	}
}

// read reads the gauges once. A backend without gauges is asked again after a minute.
func (l *lane) read(ctx context.Context) {
	w := &l.host.watcher
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

// save stores the limit if it differs by more than 5 % from the stored one, or if that is older than a day. A limit that is configured or
// published is not stored.
func (l *lane) save(ctx context.Context) {
	w, m := &l.host.watcher, l.d.o.Memory
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
		l.d.o.Log.Warn("store the limit of a backend", "backend", s.Backend, "err", err)
		return
	}
	w.limit, w.kept = s.Limit, s.At
}

// sample is the present state of the lane, for Options.Trace.
func (l *lane) sample() limit.Sample {
	s := l.limit.Sample()
	s.Backend, s.Model = l.backend.String(), l.backend.ModelName()
	return s
}
