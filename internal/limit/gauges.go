package limit

import (
	"time"

	"github.com/batholith/batholith"
)

// Times between two readings of the gauges.
const (
	readEvery = 250 * time.Millisecond
	readOften = 50 * time.Millisecond // while the limit grows, until something waits
)

// ReadEvery is the time between two readings of the gauges that the limiter needs now: 50 ms until it knows the slots, then 250 ms.
func (l *Limiter) ReadEvery() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.source == fromGauges && l.waiting.slots == 0 {
		return readOften
	}
	return readEvery
}

// Gauge takes in a reading of the backend's gauges. It is ignored if the limit is configured, or while the gauges are known to be wrong.
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
	l.gauged = now
	if l.source == fromGoodput {
		l.source = fromGauges
		l.pace.gauges()
		l.waiting.limit = min(l.climb.limit, l.ceiling.now())
	}
	total := l.limit(now)
	own, held := l.fleet.own(total), l.held+l.rests.now(now)
	full := held >= own
	l.callers.reading(now, full)
	if l.audit.phase != auditIdle && (l.waiting.outgrown(g, full) || l.waiting.shrunk(g, l.audit.bonus)) {
		l.audit.putOff(now)
	}
	if d := now.Sub(l.read); d >= readEvery*9/10 {
		l.rate = float64(l.landed) / d.Seconds()
		l.read, l.landed = now, 0
	}
	s := l.standing(now, l.limit(now))
	before, gap := l.waiting.limit, min(l.waiting.gap, longestAuditGap)
	if l.audit.reading(now, g, l.flying, l.waiting.limit, l.settle(), gap) {
		l.distrust(now)
		l.signal()
		return
	}
	if l.audit.phase == auditRaised { // the limit stays until goodput is measured
		l.waiting.last, l.waiting.changed = g, now
		return
	}
	if l.fleet.others == 0 && l.waiting.slots > 0 && full && l.ceiling.now() > s.limit+s.limit/8 {
		l.audit.due(now, l.settle(), gap)
	}
	slots, published := l.waiting.slots, l.waiting.published
	if l.waiting.read(g, s); published && !l.waiting.published { // more run than the server says it has slots
		l.source, l.hidden = fromGauges, slots
	}
	if l.waiting.limit > before && l.ceiling.pressed(now, l.settle()) {
		l.waiting.set(float64(before))
	}
	if l.waiting.lied && l.fleet.lead {
		l.distrust(now)
	}
	l.signal()
}

// standing is the state at a reading, in requests of all workers. The caller holds mu.
func (l *Limiter) standing(now time.Time, limit int) standing {
	f, held, resting := &l.fleet, l.held+l.rests.now(now), l.rests.n
	own := f.own(limit)
	mine := seen(held, resting, l.flying, l.rate)
	s := standing{now: now, limit: limit, held: f.all(held, limit), resting: f.all(resting, limit), flying: f.all(l.flying, limit), mine: f.all(mine, limit),
		kept: f.all(own-l.room(now, own), limit), pace: l.rate}
	if !f.alone() {
		s.flying = l.flying + f.flying
		s.pace = l.rate * float64(limit) / float64(own)
	}
	return s
}

// distrust ignores the gauges for 4 minutes, twice as long each further time, and searches by goodput meanwhile.
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
	if limit <= First { // the search from gauges had hardly begun
		step = firstStep
	}
	l.search(newClimb(limit, step))
	l.climb.w.after = now
	published, slots := l.waiting.published, l.waiting.slots
	l.waiting = waiting{limit: limit, published: published}
	if published {
		l.waiting.slots = slots
	}
}

// How long gauges are ignored after they were found wrong: at first, and at most.
const (
	firstDoubt = 4 * time.Minute
	lastDoubt  = 64 * time.Minute
)

// Blind notes that the backend has no gauges any more: the limit comes from published slots or from goodput.
func (l *Limiter) Blind() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.audit.stop(l.now())
	switch l.source {
	case fromSlots:
		l.waiting.blind()
		l.search(newPublished(l.waiting.limit, l.now()))
	case fromGauges:
		l.source = fromGoodput
		l.search(newClimb(l.waiting.limit, smallStep))
		l.waiting = waiting{limit: First}
	}
}
