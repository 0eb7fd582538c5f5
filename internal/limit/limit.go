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

// Limiter says how many requests a backend may have in flight: the configured number, or
//
//	limit = min(found, bound, 4096)
//
// where found comes from published slots, gauges or goodput (the first of these that the backend has), and bound from refusals (see
// ceiling). A slot is taken from Acquire to Release, and a refused request's slot stays empty for a moment after that (see rest). A rise of
// the limit is spread over time (see pace). While the server refuses everything, only probes are sent (see gate).
//
// The order of calls for one request: Acquire, Begin, Land, one of Succeeded, Failed and Refused, Release. One goroutine may call Acquire,
// TryAcquire and Drained; any goroutine may call the other methods. An interactive call has Enter in place of Acquire and Leave in place of
// Release, and goes ahead of all others (see callers.go). The Limiter starts no goroutine.
type Limiter struct {
	free chan struct{} // 1-buffered, never closed; gets a value when Acquire may succeed
	sent chan struct{} // 1-buffered, never closed; gets a value when a request is sent to an idle backend

	now func() time.Time

	mu       sync.Mutex
	random   *rand.Rand // jitter
	source   source
	fixed    int       // configured limit; 0: none
	trial    bool      // after an outage: the limit is 1 until a request is answered
	held     int       // slots taken: requests in flight, and outcomes that are not in the journal yet
	flying   int       // requests in flight
	peak     peak      // of them
	took     recent    // mean time of an answer, in seconds
	answer   time.Time // latest request that was not refused
	gate     gate
	rests    rests
	audit    audit
	pace     pace
	credit   int           // requests that may be sent above the limit, times 4 (see late)
	hidden   int           // published slots that the server was found to exceed; 0: none
	doubt    time.Duration // how long gauges were ignored the last time
	mistrust time.Time     // gauges are ignored until then
	gauged   time.Time     // latest reading of the gauges
	read     time.Time     // when landed was last reset
	landed   int           // requests that ended since then
	rate     float64       // requests that ended per second, before that
	ceiling  ceiling
	waiting  waiting
	climb    climb
	callers  callers
	fleet    fleet
}

// New makes a Limiter for a backend with a configured limit, in requests. 0: the limit is searched.
func New(configured int) *Limiter {
	l := NewAt(configured, time.Now)
	l.random = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	return l
}

// NewAt is New with another clock and with the same jitter in each run, for simulations.
func NewAt(configured int, now func() time.Time) *Limiter {
	l := &Limiter{now: now, random: rand.New(rand.NewPCG(1, 1)), free: make(chan struct{}, 1), sent: make(chan struct{}, 1), fixed: configured, climb: newClimb(First, firstStep), fleet: fleet{joined: true, share: 1, lead: true}}
	l.pace.begin(now(), 0)
	if configured > 0 {
		l.pace.level = float64(configured)
		l.source = fromOperator
	}
	l.waiting.limit = First
	return l
}

// Resume starts at 80 % of the limit that an earlier process stored, since the server may have fewer slots now.
func (l *Limiter) Resume(limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fleet.others > 0 { // their limit is newer
		return
	}
	limit = min(max(limit*4/5, 1), Last)
	if l.source == fromSlots {
		if limit <= l.waiting.limit {
			return
		}
		l.outgrow() // more was found than is published
	}
	l.search(newClimb(limit, smallStep))
	l.waiting.resume(limit)
}

// Publish takes in the number of slots that the server publishes. It is ignored if the limit is configured.
func (l *Limiter) Publish(slots int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.source == fromOperator || slots <= 0 || slots == l.hidden {
		return
	}
	known := l.source == fromSlots && l.waiting.published && l.waiting.slots == slots
	l.source = fromSlots
	if l.waiting.publish(slots); !known && !l.waiting.reads {
		l.search(newPublished(l.waiting.limit, l.now()))
	}
	l.signal()
}

// limit is the number of requests that all workers together may have in flight now. The caller holds mu.
func (l *Limiter) limit(now time.Time) int {
	if l.trial {
		return 1
	}
	return l.total(now)
}

// total is the limit without the trial after an outage, which each worker makes by itself.
func (l *Limiter) total(now time.Time) int {
	if l.source == fromOperator {
		return l.fixed
	}
	limit := l.fleet.limit
	if limit == 0 {
		found := l.climb.limit
		if l.source != fromGoodput && !l.counts() {
			found = l.waiting.limit + l.audit.bonus
		}
		limit = max(1, min(found, l.bound(), Last))
	}
	if l.fleet.outdated(now) {
		limit = min(limit, l.fleet.seen)
	}
	return limit
}

// bound is the limit from refusals. Workers that do not search have that of the lead.
func (l *Limiter) bound() int {
	switch {
	case l.fleet.lead:
		return l.ceiling.now()
	case l.fleet.bound > 0:
		return l.fleet.bound
	}
	return Last
}

// counts reports whether goodput is measured because published slots are all that is known. The caller holds mu.
func (l *Limiter) counts() bool {
	return l.source == fromSlots && !l.waiting.reads && l.climb.published
}

// Size is the number of requests that this worker may have in flight now: its share of the limit.
func (l *Limiter) Size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fleet.own(l.limit(l.now()))
}

// Acquire waits for a free slot and takes it. It returns the cause of ctx if that ends first.
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

// TryAcquire takes a slot if one is free. If not, it returns how long to wait before the next try; 0: until another slot is released.
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
	total := l.limit(now)
	limit := l.fleet.own(total)
	room := l.room(now, limit)
	taken := l.held + l.rests.now(now)
	switch {
	case now.Before(l.fleet.rests) && taken == 0:
		return l.fleet.rests.Sub(now), false
	case taken < room:
		if wait := l.pace.wait(now, taken, limit); wait > 0 {
			return wait, false
		}
	case room == limit && l.credit >= 4 && l.late(): // it replaces an answered request: no growth
		l.credit -= 4
	default:
		return l.rests.next(now), false
	}
	l.ceiling.burst(now, total, l.settle())
	l.take(now)
	return 0, true
}

// take takes a slot. The caller holds mu.
func (l *Limiter) take(now time.Time) {
	l.pass(now)
	l.held++
}

// pass adds the time until now to the measurements of goodput, with the requests of all workers. A slot that stays empty after a refusal
// counts as taken. The caller holds mu.
func (l *Limiter) pass(now time.Time) {
	l.climb.pass(now, l.held+l.rests.n+l.fleet.flying, l.flying+l.fleet.flying)
}

// signal wakes Acquire and the first call that waits. It does not block. The caller holds mu.
func (l *Limiter) signal() {
	select {
	case l.free <- struct{}{}:
	default:
	}
	l.callers.next()
}

// Release frees a slot. It says nothing about the backend.
func (l *Limiter) Release() {
	l.mu.Lock()
	l.pass(l.now())
	l.held--
	if l.gate.probe == slotTaken { // nothing was sent under it
		l.gate.probe = noProbe
	}
	l.callers.need.freed()
	l.signal()
	l.mu.Unlock()
}

// Drained waits until the caller's slot is the only one that is taken. From now on until Rejoin, no interactive call takes a slot. Only the
// goroutine that calls Acquire may call it.
func (l *Limiter) Drained(ctx context.Context) error {
	for {
		l.mu.Lock()
		l.callers.lone = true
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

// Flight is one request between Begin and its outcome. The zero Flight is no request.
type Flight struct {
	sent  time.Time
	took  time.Duration // set by Land
	over  bool          // Land was called
	probe bool          // it is the probe of a closed gate
}

// Sent is when the request was sent.
func (f Flight) Sent() time.Time { return f.sent }

// Took is how long the request was in flight; 0 before it has landed.
func (f Flight) Took() time.Duration { return f.took }

// Begin notes that a request is sent now, in a slot that was acquired.
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
	l.peak.see(now, l.flying)
	l.ceiling.sends.sent(now, l.fleet.share)
	f := Flight{sent: now, probe: l.gate.closed && l.gate.probe == slotTaken}
	if f.probe {
		l.gate.probe, l.gate.sent = probeSent, now
	}
	return f
}

// Land notes that the request is no longer in flight. Further calls do nothing.
func (l *Limiter) Land(f *Flight) {
	if f.over {
		return
	}
	f.over = true
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.pass(now)
	l.peak.see(now, l.flying)
	l.flying--
	l.landed++
	f.took = now.Sub(f.sent)
	l.fleet.ended(now, f.took, l.limit(now))
}

// Busy reports whether a request is in flight.
func (l *Limiter) Busy() bool { return l.InFlight() > 0 }

// InFlight is the number of requests in flight.
func (l *Limiter) InFlight() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flying
}

// Peak is the largest number of requests that were in flight in the last second or two. Requests that a server answers together leave it without
// requests for a moment; Peak does not show this.
func (l *Limiter) Peak() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.peak.see(l.now(), l.flying)
	return max(l.peak.before, l.peak.most)
}

// peak is the largest of the numbers that were seen in the present second, and in the one before it.
type peak struct {
	since        time.Time // beginning of the present second
	before, most int
}

func (p *peak) see(now time.Time, n int) {
	if now.Sub(p.since) >= time.Second {
		p.before, p.most, p.since = p.most, 0, now
	}
	p.most = max(p.most, n)
}

// Sending receives a value when a request is sent to a backend that had none. It is 1-buffered and never closed.
func (l *Limiter) Sending() <-chan struct{} { return l.sent }

// Retrial sets the limit to 1 until a request is answered. It is called after an outage.
func (l *Limiter) Retrial() {
	l.mu.Lock()
	l.trial = true
	l.pace.begin(l.now(), l.held)
	l.climb.restart(Last, time.Time{})
	l.signal()
	l.mu.Unlock()
}

// OnTrial reports whether no request was answered since Retrial.
func (l *Limiter) OnTrial() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trial
}

// Configure changes the configured limit, in requests. 0: the limit is searched, from the configured one on. Requests in flight above the new
// limit finish.
func (l *Limiter) Configure(limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.fixed
	if limit == was {
		return
	}
	l.fixed = limit
	if limit > 0 {
		l.source, l.pace.level = fromOperator, float64(limit)
	} else {
		l.source = fromGoodput
		l.search(newClimb(min(was, Last), smallStep))
		l.waiting.resume(min(was, Last))
	}
	l.signal()
}
