package limit

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/batholith/batholith"
)

// Bounds of what a limiter finds by itself.
const (
	// First is the limit that a search begins with, in requests.
	First = 32
	// Last is the highest limit that a search reaches, in requests.
	Last = 4096

	minPause   = 100 * time.Millisecond
	maxPause   = 30 * time.Second
	lastRepeat = 2 * time.Second // the longest pause between requests to a server that refuses all and does not say for how long
)

// Limiter says how many requests a backend gets at once: a configured number, or what the best source of information makes of what
// happened so far, and never more than the backend was seen to refuse. It starts nothing and asks nobody.
// One goroutine acquires; any goroutine releases.
type Limiter struct {
	free chan struct{} // 1-buffered; told when acquire may succeed
	sent chan struct{} // 1-buffered; told when a request goes to an idle backend

	mu      sync.Mutex
	source  source
	fixed   int  // by the operator
	trial   bool // after an outage: one at a time until one succeeds
	held    int  // slots taken: requests in flight, and outcomes that are not written yet
	flying  int  // requests in flight
	pause   time.Time
	repeat  time.Duration // of the last pause, while nothing but refusals comes
	read    time.Time     // when the gauges were
	landed  int           // requests since then
	ceiling ceiling
	waiting waiting
	climb   climb
}

// New takes the configured number of requests; with 0 it searches.
func New(configured int) *Limiter {
	l := &Limiter{free: make(chan struct{}, 1), sent: make(chan struct{}, 1), fixed: configured, climb: newClimb(First, firstStep)}
	if configured > 0 {
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
		found = l.waiting.limit
	}
	return max(1, min(found, l.ceiling.now(now), Last))
}

// Size is the present limit.
func (l *Limiter) Size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit(time.Now())
}

// Acquire waits for a free slot.
func (l *Limiter) Acquire(ctx context.Context) error {
	for {
		wait, ok := l.try()
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

// try takes a slot, or says how long the backend wants to be left alone (0: until a slot is free).
func (l *Limiter) try() (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if wait := l.pause.Sub(now); wait > 0 {
		return wait, false
	}
	if l.held >= l.limit(now) {
		return 0, false
	}
	l.climb.pass(now, l.held, l.flying)
	l.held++
	return 0, true
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
	l.climb.pass(time.Now(), l.held, l.flying)
	l.held--
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
	sent time.Time
	took time.Duration // until it landed
	over bool          // it landed
}

// Sent is when the request was sent.
func (f Flight) Sent() time.Time { return f.sent }

// Took is how long the request was in flight; 0 before it has landed.
func (f Flight) Took() time.Duration { return f.took }

// Begin notes that a request is sent, under a slot that was acquired.
func (l *Limiter) Begin() Flight {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.climb.pass(now, l.held, l.flying)
	if l.flying++; l.flying == 1 {
		select {
		case l.sent <- struct{}{}:
		default:
		}
	}
	return Flight{sent: now}
}

// Land notes that it is in flight no longer. It may be noted again.
func (l *Limiter) Land(f *Flight) {
	if f.over {
		return
	}
	f.over = true
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.climb.pass(now, l.held, l.flying)
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

// Succeeded notes an answer and the work in it: output tokens, or 1 where there are none, or 0 when it was no work.
func (l *Limiter) Succeeded(f Flight, work float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.trial, l.repeat = false, 0
	l.ceiling.answered()
	if work > 0 && l.source == fromGoodput {
		if l.climb.answered(now, f, work, l.ceiling.now(now)); l.climb.grown {
			l.climb.grown = false
			l.ceiling.lift(now)
		}
	}
}

// Refused notes back-pressure: nothing is sent for as long as the backend asked, and no more than what it did not refuse is sent
// from then on. Where refusals are rare, and none asks for a time, it is this one request that is to wait, so long.
func (l *Limiter) Refused(f Flight, after time.Duration) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.ceiling.stray(now, l.held-1) && l.flying > 0 && after == 0 {
		return minPause + time.Duration(rand.Int64N(int64(minPause)))
	}
	if l.repeat = min(max(2*l.repeat, minPause), lastRepeat); after == 0 {
		after = minPause
		if l.flying == 0 {
			after = l.repeat // it refuses everything
		}
	}
	after = min(max(after, minPause), maxPause)
	if until := now.Add(after + time.Duration(rand.Int64N(int64(after)/4+1))); until.After(l.pause) {
		l.pause = until
	}
	if l.source != fromOperator && l.ceiling.refused(now, f.sent, l.held-1, l.limit(now)) {
		l.climb.restart(l.ceiling.now(now), l.pause) // what comes back meanwhile did not have to wait, and looks like a faster server
	}
	return 0
}

// Gauge takes a reading of the backend's own gauges.
func (l *Limiter) Gauge(g batholith.Gauges) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.source == fromOperator {
		return
	}
	now := time.Now()
	if l.source == fromGoodput {
		l.source = fromGauges
		l.waiting.limit = min(l.climb.limit, l.ceiling.now(now))
	}
	s := standing{limit: l.limit(now), held: l.held, flying: l.flying}
	if d := now.Sub(l.read); d > 0 {
		s.pace = float64(l.landed) / d.Seconds()
	}
	l.read, l.landed = now, 0
	l.waiting.read(g, s)
	l.signal()
}

// Blind notes that the backend has no gauges any more.
func (l *Limiter) Blind() {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.source {
	case fromSlots:
		l.waiting.blind()
	case fromGauges:
		l.source = fromGoodput
		l.climb = newClimb(l.waiting.limit, smallStep)
		l.waiting = waiting{limit: First}
	}
}

// Retrial lets one request through at a time until one succeeds.
func (l *Limiter) Retrial() {
	l.mu.Lock()
	l.trial = true
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
