package console

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/batholith/batholith/internal/audit"
)

// Live pages read again every few seconds. Pages of the same reader about the same subject share these reads: ten open pages of a job ask the
// API as often as one page does. The audit log gets a line for the first read, and no line for a repeat whose line would be the same (see
// audit.Repeats). Pages share reads only if session, address and browser are the same, so one line is true for all of them.

// reader identifies the pages that share a read.
type reader struct {
	session        *session
	address, agent string
	subject        string // such as "job ID"
}

// reading is the last read of a reader.
type reading struct {
	turn    chan struct{} // of capacity 1; guards the fields down to used: a page sends before it uses them, and receives after
	at      time.Time     // when the read began; zero: no value
	value   any
	repeats audit.Repeats

	used time.Time // guarded by readings.mu
}

// Bounds of readings. A reading that no page has used for idleReading is dropped.
const (
	mostReadings = 512
	idleReading  = time.Minute
)

// readings holds the readings of all live pages.
type readings struct {
	fresh time.Duration // a read that is younger is used again

	mu  sync.Mutex
	all map[reader]*reading
}

// newReadings returns readings for pages that update once in each interval every. A read is fresh for 3/4 × every, so a page never gets its
// own last read again, even if its ticker is early.
func newReadings(every time.Duration) *readings {
	return &readings{fresh: every * 3 / 4, all: map[reader]*reading{}}
}

// of returns the reading of a reader. If there are mostReadings others already, it returns a new one that no other page shares.
func (s *readings) of(who reader) *reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.all[who]
	if r == nil {
		r = &reading{turn: make(chan struct{}, 1)}
		if len(s.all) < mostReadings {
			s.all[who] = r
		}
	}
	r.used = time.Now()
	return r
}

// forget drops the readings of a session after it has changed something, so its pages read again. Pages that ask later do not share a read
// that is still in progress.
func (s *readings) forget(of *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for who := range s.all {
		if who.session == of {
			delete(s.all, who)
		}
	}
}

// tidy drops readings that no page uses.
func (s *readings) tidy() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for who, r := range s.all {
		if time.Since(r.used) > idleReading {
			delete(s.all, who)
		}
	}
}

// get returns the value if it is fresh. Otherwise it calls read, and other pages wait for the result. An error goes only to the caller whose read
// failed; the next page calls read again.
func (r *reading) get(ctx context.Context, fresh time.Duration, read func() (any, error)) (any, error) {
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-r.turn }()
	if !r.at.IsZero() && time.Since(r.at) < fresh {
		return r.value, nil
	}
	began := time.Now()
	value, err := read()
	if err != nil {
		r.at, r.value = time.Time{}, nil
		return nil, err
	}
	r.at, r.value = began, value
	return value, nil
}

// shared reads a subject for a live page, or returns the fresh read of another page of the same reader. read must use the visit that it is
// given. The value is shared, so it must not be changed.
func shared[T any](v *visit, subject string, read func(*visit) (T, error)) (T, error) {
	address, _, _ := net.SplitHostPort(v.r.RemoteAddr)
	r := v.c.readings.of(reader{v.session, address, v.r.UserAgent(), subject})
	value, err := r.get(v.r.Context(), v.c.readings.fresh, func() (any, error) {
		again := *v
		again.r = v.r.WithContext(audit.Repeating(v.r.Context(), &r.repeats))
		return read(&again)
	})
	if err != nil {
		var none T
		return none, err
	}
	return value.(T), nil
}
