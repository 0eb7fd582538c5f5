package limit

import "time"

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

// Works notes that a request which took no slot was answered: the server is there and does not refuse everything. What it refuses may be
// refused for what it is.
func (l *Limiter) Works() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.trial, l.gate.row = false, 0
	if l.gate.closed {
		l.gate.open()
		l.gate.repeat = 0
		l.opened(now)
	}
	l.signal()
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

// Refused notes back-pressure (429 or 503) and returns how long this record must wait before its next attempt: at least as long as the server
// asked for, at most 30 s, and up to a quarter more. The slot of the request rests for a moment. The limit falls only if that lowers the
// refusals (see ceiling). If the server refuses everything, the gate closes and nothing is sent (see gate).
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
	old := f.sent.Before(l.answer) // others were taken since it was sent
	idle := l.flying == 0 && now.Sub(l.answer) >= min(l.settle(), time.Second)
	if l.gate.refused(now, f, after, rest, old, idle, l.jitter) {
		l.ceiling.forget()
		l.climb.restart(Last, now.Add(time.Hour)) // until it is opened
	}
	l.judge(now)
	wait = max(min(after, maxPause), rest)
	return wait + l.jitter(wait)
}

// growing tells whether the limit is on its way up to where nothing was measured yet.
func (l *Limiter) growing() bool {
	if l.source == fromGoodput {
		return l.climb.phase == rising
	}
	return l.source == fromGauges && l.waiting.slots == 0
}

// judge lets the ceiling look at the refusals. When the bound changes, goodput is measured anew.
func (l *Limiter) judge(now time.Time) {
	if l.source == fromOperator || !l.took.any || l.gate.closed {
		return
	}
	p := pressure{growing: l.growing(), ripe: l.source != fromGoodput || l.climb.measures > 0,
		limit: l.limit(now), held: l.held + l.rests.now(now), settle: l.settle()}
	if l.ceiling.judge(now, p) {
		l.climb.restart(l.ceiling.now(), now)
		l.signal()
	}
}

// rest is how long the slot of a refused request stays empty, from the mean time T of an answer and the share p of refusals of late:
//
//	rest = T/8 × (1 + 12 × max(p - 0.1, 0)), at least 1 ms and at most 1 s
//
// Each refusal then costs a fraction of what an answer takes of a slot, and a full server is asked about once in T by each slot that it
// cannot serve. The rest doubles, up to 2 s, with each round of refusals (one for each slot) in which nothing was answered.
func (l *Limiter) rest(now time.Time) time.Duration {
	rest := firstRest
	if l.took.any {
		l.ceiling.pressed(now, l.settle())
		part := (1 + 12*max(l.ceiling.share-0.1, 0)) / restsPerAnswer
		rest = min(max(time.Duration(l.took.mean*part*1e9), leastRest), mostRest)
	}
	return min(rest<<min(l.gate.row/l.limit(now), 10), lastRepeat)
}

// settle is how long refusals still belong to the limit before, after a change: the time of an answer, within 0.2 s and 2 s.
func (l *Limiter) settle() time.Duration {
	return min(max(time.Duration(l.took.mean*1e9), leastSpan), mostSpan)
}

// grace is how long a probe must stay unrefused to count as taken: three times what a refusal takes, within 0.05 s and 1 s.
func (l *Limiter) grace() time.Duration {
	return min(max(time.Duration(3*l.ceiling.sends.took.mean*1e9), minPause), time.Second)
}

// opened begins again after the server refused everything. What was found before still holds, but it is approached step by step.
func (l *Limiter) opened(now time.Time) {
	l.ceiling.clear(now.Add(l.settle()))
	l.ceiling.widest = 0
	l.pace.begin(now, l.held)
	l.climb.restart(Last, now.Add(l.settle()))
}

// jitter is up to a quarter of a wait, so that several processes do not come back at once.
func (l *Limiter) jitter(wait time.Duration) time.Duration {
	return time.Duration(l.random.Int64N(int64(wait)/4 + 1))
}
