package limit

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// First is the limit that a search begins with, in requests.
	First = 32
	// Last is the highest limit that a search reaches, in requests.
	Last = 4096
)

// Limiter says how many requests a backend gets at once: the configured number, or
//
//	limit = min(found, bound, 4096)
//
// where found comes from published slots, gauges or goodput, whichever is trusted most, and bound from refusals (see ceiling). A slot is
// taken while its request is in flight, until its outcome is written, and for a moment after a refusal (see rest). A rise of the limit is
// paced (see pace), and nothing is sent while the server refuses everything (see gate).
//
// One goroutine may call Acquire, TryAcquire and Drained; any goroutine may call the other methods.
type Limiter struct {
	free chan struct{} // 1-buffered; told when acquire may succeed
	sent chan struct{} // 1-buffered; told when a request goes to an idle backend

	now func() time.Time

	mu       sync.Mutex
	random   *rand.Rand // jitter
	source   source
	fixed    int       // by the operator
	trial    bool      // after an outage: one at a time until one succeeds
	held     int       // slots taken: requests in flight, and outcomes that are not written yet
	flying   int       // requests in flight
	took     recent    // of answers, in seconds
	answer   time.Time // of the last
	gate     gate
	rests    rests
	audit    audit
	pace     pace
	credit   int           // quarters of requests that may be sent above the limit
	doubt    time.Duration // for how long gauges were not believed the last time,
	mistrust time.Time     // and until when
	read     time.Time     // when answers were last counted,
	landed   int           // requests since then,
	rate     float64       // and answers a second before
	ceiling  ceiling
	waiting  waiting
	climb    climb
}

// New takes the configured number of requests; with 0 it searches.
func New(configured int) *Limiter {
	l := NewAt(configured, time.Now)
	l.random = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	return l
}

// NewAt is New with another clock and with the same jitter each time, for simulations.
func NewAt(configured int, now func() time.Time) *Limiter {
	l := &Limiter{now: now, random: rand.New(rand.NewPCG(1, 1)), free: make(chan struct{}, 1), sent: make(chan struct{}, 1), fixed: configured, climb: newClimb(First, firstStep)}
	l.pace.begin(now(), 0)
	if configured > 0 {
		l.pace.level = float64(configured)
		l.source = fromOperator
	}
	l.waiting.limit = First
	return l
}

// Resume begins where an earlier process was, a little below: the server may have shrunk.
func (l *Limiter) Resume(limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit = min(max(limit*4/5, 1), Last)
	l.climb = newClimb(limit, smallStep)
	l.waiting.resume(limit)
}

// Publish takes the number of slots that the server says it has.
func (l *Limiter) Publish(slots int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.source == fromOperator || slots <= 0 {
		return
	}
	l.source = fromSlots
	l.waiting.publish(slots)
	l.signal()
}

// limit is how many may be in flight now. The caller holds mu.
func (l *Limiter) limit(now time.Time) int {
	switch {
	case l.trial:
		return 1
	case l.source == fromOperator:
		return l.fixed
	}
	found := l.climb.limit
	if l.source != fromGoodput {
		found = l.waiting.limit + l.audit.bonus
	}
	return max(1, min(found, l.ceiling.now(), Last))
}

// Size is the present limit.
func (l *Limiter) Size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit(l.now())
}

// Acquire waits for a free slot.
func (l *Limiter) Acquire(ctx context.Context) error {
	for {
		wait, ok := l.TryAcquire()
		if ok {
			return nil
		}
		var later <-chan time.Time
		if wait > 0 {
			later = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.free:
		case <-later:
		}
	}
}

// TryAcquire takes a slot, or says how long the backend wants to be left alone (0: until a slot is free).
func (l *Limiter) TryAcquire() (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if l.gate.closed {
		wait, ok := l.gate.try(now, l.grace())
		switch {
		case ok:
			l.take(now)
			return 0, true
		case l.gate.closed:
			return wait, false
		}
		l.opened(now)
	}
	limit := l.limit(now)
	taken := l.held + l.rests.now(now)
	switch {
	case taken >= limit && l.credit >= 4 && l.late():
		l.credit -= 4
	case taken >= limit:
		return l.rests.next(now), false
	}
	if wait := l.pace.wait(now, taken, limit); wait > 0 {
		return wait, false
	}
	l.ceiling.burst(now, limit, l.settle())
	l.take(now)
	return 0, true
}

func (l *Limiter) take(now time.Time) {
	l.pass(now)
	l.held++
}

// pass adds what was in flight until now to the measurements. A slot that rests counts as taken. The caller holds mu.
func (l *Limiter) pass(now time.Time) {
	l.climb.pass(now, l.held+l.rests.n, l.flying)
	l.audit.w.pass(now, l.held+l.rests.n, l.flying)
}

func (l *Limiter) signal() {
	select {
	case l.free <- struct{}{}:
	default:
	}
}

// Release gives the slot back without saying anything of the backend.
func (l *Limiter) Release() {
	l.mu.Lock()
	l.pass(l.now())
	l.held--
	if l.gate.probe == slotTaken { // nothing was sent under it
		l.gate.probe = noProbe
	}
	l.mu.Unlock()
	l.signal()
}

// Drained waits until the caller's slot is the only one in use. Only the goroutine that acquires may wait for it.
func (l *Limiter) Drained(ctx context.Context) error {
	for {
		l.mu.Lock()
		n := l.held
		l.mu.Unlock()
		if n <= 1 {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.free:
		}
	}
}

// Flight is one request on its way.
type Flight struct {
	sent  time.Time
	took  time.Duration // until it landed
	over  bool          // it landed
	probe bool          // it was sent to see whether the server takes requests again
}

// Sent is when the request was sent.
func (f Flight) Sent() time.Time { return f.sent }

// Took is how long the request was in flight; 0 before it has landed.
func (f Flight) Took() time.Duration { return f.took }

// Begin notes that a request is sent, under a slot that was acquired.
func (l *Limiter) Begin() Flight {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.pass(now)
	if l.flying++; l.flying == 1 {
		select {
		case l.sent <- struct{}{}:
		default:
		}
	}
	l.ceiling.sends.sent(now)
	f := Flight{sent: now, probe: l.gate.closed && l.gate.probe == slotTaken}
	if f.probe {
		l.gate.probe, l.gate.sent = probeSent, now
	}
	return f
}

// Land notes that it is in flight no longer. It may be noted again.
func (l *Limiter) Land(f *Flight) {
	if f.over {
		return
	}
	f.over = true
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.pass(now)
	l.flying--
	l.landed++
	f.took = now.Sub(f.sent)
}

// Busy tells whether anything is in flight.
func (l *Limiter) Busy() bool { return l.InFlight() > 0 }

// InFlight is the number of requests in flight.
func (l *Limiter) InFlight() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flying
}

// Sending receives a value when a request is sent to a backend that had none. It is 1-buffered and never closed.
func (l *Limiter) Sending() <-chan struct{} { return l.sent }

// Retrial lets one request through at a time until one succeeds.
func (l *Limiter) Retrial() {
	l.mu.Lock()
	l.trial = true
	l.pace.begin(l.now(), l.held)
	l.climb.restart(Last, time.Time{})
	l.mu.Unlock()
	l.signal()
}

// OnTrial tells whether no request has succeeded since the last outage.
func (l *Limiter) OnTrial() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trial
}
