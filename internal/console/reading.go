package console

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/batholith/batholith/internal/audit"
)

// Live pages of one reader about one subject share what they read: ten open pages of a job ask the API as often as one. The audit log has a
// line for the first read, and none for repeats that would leave the same line (see audit.Repeats). A reader is a session at one address with one
// browser, so that a shared read, and a line that is left out, say nothing that would differ for another page.

// reader is whose reading it is, and of what.
type reader struct {
	session        *session
	address, agent string
	subject        string // such as "job ID"
}

// reading is what was read last.
type reading struct {
	turn    chan struct{} // holds a token while somebody reads or looks at the fields below
	at      time.Time     // when the read began; zero: there is none
	value   any
	repeats audit.Repeats

	used time.Time // guarded by readings.mu
}

// Bounds of readings: one that no page has used for idleReading is dropped.
const (
	mostReadings = 512
	idleReading  = time.Minute
)

// readings are those of all live pages.
type readings struct {
	fresh time.Duration // for which a read is good enough for other pages

	mu  sync.Mutex
	all map[reader]*reading
}

// newReadings returns readings for pages that look every so often. A page's own read must be too old for its next look, also if its ticker is
// early: a read is fresh for 3/4 of that time.
func newReadings(every time.Duration) *readings {
	return &readings{fresh: every * 3 / 4, all: map[reader]*reading{}}
}

// of returns the reading of a reader. Above mostReadings it is one that is shared with nobody.
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

// forget drops the readings of a session, which has changed something: its pages read anew. A read that is on its way is shared with no later page.
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

// get returns the value if it is fresh. Otherwise it reads, while other pages wait for the result. An error is returned to its caller only: the others
// read themselves.
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

// shared reads a subject for a live page, or returns what another live page of the same reader has read just now. read must use the visit that it is given.
// The value is shared: nobody may change it.
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
