package limit

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/batholith/batholith"
)

const (
	// First is the limit that a search begins with, in requests.
	First = 32
	// Last is the highest limit that a search reaches, in requests.
	Last = 4096
)

// Limiter says how many requests a backend gets at once: a configured number, or what the best source of information makes of what
// happened so far, and never more than the backend was seen to refuse. It starts nothing and asks nobody.
// One goroutine acquires; any goroutine releases.
type Limiter struct {
	free chan struct{} // 1-buffered; told when acquire may succeed
	sent chan struct{} // 1-buffered; told when a request goes to an idle backend

	now func() time.Time

	mu       sync.Mutex
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
func New(configured int) *Limiter { return NewAt(configured, time.Now) }

// NewAt is New with another clock, for simulations.
func NewAt(configured int, now func() time.Time) *Limiter {
	l := &Limiter{now: now, free: make(chan struct{}, 1), sent: make(chan struct{}, 1), fixed: configured, climb: newClimb(First, firstStep)}
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

// pass lets what is in flight count until now. A slot that rests after a refusal is taken.
func (l *Limiter) pass(now time.Time) {
	l.climb.pass(now, l.held+l.rests.n, l.flying)
	l.audit.w.pass(now, l.held+l.rests.n, l.flying)
}

// rest is how long the slot of a refused request stays empty: an eighth of the time of an answer, so that a server that refuses a share p
// loses no more than p/8 of its slots to it, and one that is full is not asked again and again. It doubles with every round of
// refusals, one for each slot, in which nothing was answered.
func (l *Limiter) rest(now time.Time) time.Duration {
	rest := firstRest
	if l.took.any {
		l.ceiling.pressed(now, l.settle())
		part := (1 + 12*max(l.ceiling.share-0.1, 0)) / 8
		rest = min(max(time.Duration(l.took.mean*part*1e9), leastRest), mostRest)
	}
	return min(rest<<min(l.gate.row/l.limit(now), 10), lastRepeat)
}

// settle is how long it takes after a change of the limit until refusals are those of the new one.
func (l *Limiter) settle() time.Duration {
	return min(max(time.Duration(l.took.mean*1e9), leastSpan), mostSpan)
}

// grace is how long a request must go unrefused to count as taken.
func (l *Limiter) grace() time.Duration {
	return min(max(time.Duration(3*l.ceiling.sends.took.mean*1e9), minPause), time.Second)
}

// opened begins again after the server refused everything.
func (l *Limiter) opened(now time.Time) {
	l.ceiling.clear(now.Add(l.settle()))
	l.ceiling.widest = 0
	l.pace.begin(now, l.held)
	l.climb.restart(Last, now.Add(l.settle()))
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

// Succeeded notes an answer and the work in it: output tokens, or 1 where there are none, or 0 when it was no work.
func (l *Limiter) Succeeded(f Flight, work float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.trial = false
	if work > 0 {
		l.took.add(f.took.Seconds(), 1./16)
	}
	l.taken(now, f)
	if work > 0 && l.audit.phase != auditIdle && l.audit.answered(now, f, work, l.waiting.limit) {
		l.distrust(now)
	}
	if work > 0 && l.source == fromGoodput && !l.ceiling.trial.on && !l.ceiling.pressed(now, l.settle()) {
		if l.climb.answered(now, f, work, l.ceiling.now()); l.climb.grown {
			l.climb.grown = false
			l.ceiling.lift(now)
		}
	}
}

// Failed notes that a request came back with a failure that is no back-pressure: the server took it, and nothing came of it.
func (l *Limiter) Failed(f Flight) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken(l.now(), f)
	l.climb.lost(f)
	l.audit.w.lose(f)
}

// taken notes that the server did not refuse a request.
func (l *Limiter) taken(now time.Time, f Flight) {
	l.answer = now
	l.credit = min(l.credit+3, 12)
	if l.gate.answered(f) {
		l.opened(now)
	}
	l.judge(now)
}

// late tells whether refusals take so long that many requests in flight may be among those that are refused. When the limit falls, those
// that are answered are replaced then, three of four: the server would run dry while what is in flight only waits for its refusal.
func (l *Limiter) late() bool { return l.ceiling.sends.took.mean > 1 }

// How often gauges are worth reading.
const (
	readEvery = 250 * time.Millisecond
	readOften = 50 * time.Millisecond // while the limit grows, until something waits
)

// ReadEvery is the time between two readings of the gauges that the limiter wants now.
func (l *Limiter) ReadEvery() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.source == fromGauges && l.waiting.slots == 0 {
		return readOften
	}
	return readEvery
}

// growing tells whether the limit is on its way up to where nothing was measured yet.
func (l *Limiter) growing() bool {
	if l.source == fromGoodput {
		return l.climb.phase == rising
	}
	return l.source == fromGauges && l.waiting.slots == 0
}

func (l *Limiter) judge(now time.Time) {
	if l.source != fromOperator && l.took.any && !l.gate.closed && l.ceiling.judge(now, pressure{l.growing(), l.source != fromGoodput || l.climb.measures > 0, l.limit(now), l.held + l.rests.now(now), l.settle()}) {
		l.climb.restart(l.ceiling.now(), now)
		l.signal()
	}
}

// Refused notes back-pressure, and returns how long this request is to wait. Its slot rests for a moment. The limit falls if that lowers the
// refusals (see ceiling); when everything is refused, nothing is sent for as long as the backend asked (see gate).
func (l *Limiter) Refused(f Flight, after time.Duration) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.pass(now)
	l.climb.lost(f)
	l.audit.w.lose(f)
	rest := l.rest(now)
	l.rests.add(now.Add(rest))
	l.ceiling.refused(f, l.flying)
	if l.gate.refused(now, f, after, rest, f.sent.Before(l.answer), l.flying == 0 && now.Sub(l.answer) >= min(l.settle(), time.Second)) {
		l.ceiling.forget()
		l.climb.restart(Last, now.Add(time.Hour)) // until it is opened
	}
	l.judge(now)
	wait = max(min(after, maxPause), rest)
	return wait + time.Duration(rand.Int64N(int64(wait)/4+1))
}

// Gauge takes a reading of the backend's own gauges.
func (l *Limiter) Gauge(g batholith.Gauges) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.source == fromOperator {
		return
	}
	now := l.now()
	if now.Before(l.mistrust) {
		return
	}
	if l.source == fromGoodput {
		l.source = fromGauges
		l.pace.gauges()
		l.waiting.limit = min(l.climb.limit, l.ceiling.now())
	}
	s := standing{now: now, limit: l.limit(now), held: l.held + l.rests.now(now), resting: l.rests.n, flying: l.flying}
	if d := now.Sub(l.read); d >= readEvery*9/10 {
		l.rate = float64(l.landed) / d.Seconds()
		l.read, l.landed = now, 0
	}
	s.pace = l.rate
	before := l.waiting.limit
	if l.audit.phase == auditRaised && !l.audit.late(now) {
		l.waiting.last, l.waiting.changed = g, now
		return
	}
	alone := g.Running+g.Waiting <= l.flying // beside others more in flight brings more back, at their cost
	if full := s.held >= s.limit; l.waiting.slots > 0 && full && alone && l.ceiling.now() > s.limit+s.limit/8 {
		l.audit.due(now, s.limit, l.settle())
	}
	if l.waiting.read(g, s); l.waiting.limit > before && l.ceiling.pressed(now, l.settle()) {
		l.waiting.set(float64(before))
	}
	if l.waiting.lied {
		l.distrust(now)
	}
	l.signal()
}

// distrust goes on without gauges for a while: longer each time.
func (l *Limiter) distrust(now time.Time) {
	l.doubt = min(max(2*l.doubt, firstDoubt), lastDoubt)
	l.mistrust = now.Add(l.doubt)
	l.audit.stop(now)
	limit := max(int(l.waiting.fall.limit), l.waiting.limit)
	if l.waiting.published {
		limit = min(limit, l.waiting.most())
	}
	l.source = fromGoodput
	step := float64(smallStep)
	if limit <= First { // it had hardly begun
		step = firstStep
	}
	l.climb = newClimb(limit, step)
	l.climb.w.after = now
	published, slots := l.waiting.published, l.waiting.slots
	l.waiting = waiting{limit: limit, published: published}
	if published {
		l.waiting.slots = slots
	}
}

const (
	firstDoubt = 4 * time.Minute
	lastDoubt  = 64 * time.Minute
)

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
