package limit

import "time"

// Succeeded takes in an answer. work is its output tokens, or 1 if the server does not report them; 0 for an answer that must not count as
// work.
func (l *Limiter) Succeeded(f Flight, work float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.trial = false
	if work > 0 {
		l.took.add(f.took.Seconds(), 1./16)
	}
	l.taken(now, f)
	published := l.counts()
	if work > 0 && l.fleet.lead && (l.source == fromGoodput || published) && !l.ceiling.trial.on && !l.ceiling.pressed(now, l.settle()) {
		if l.climb.answered(now, f, work, l.ceiling.now()); l.climb.grown {
			l.climb.grown = false
			l.ceiling.lift(now)
		}
		if published && !l.climb.published {
			l.outgrow()
		}
	}
}

// Works notes an answer to a request without a slot, such as a canary: the server works and does not refuse everything, so the records
// themselves may be the reason of refusals.
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

// Failed takes in a failure that is no back-pressure: the server accepted the request, and there is no answer.
func (l *Limiter) Failed(f Flight) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken(l.now(), f)
	l.climb.lost(f)
}

// taken takes in a request that the server did not refuse. The caller holds mu.
func (l *Limiter) taken(now time.Time, f Flight) {
	l.answer = now
	l.credit = min(l.credit+3, 12)
	if l.gate.answered(f) {
		l.opened(now)
	}
	l.judge(now)
}

// late reports whether refusals take longer than 1 s. Then many requests in flight may be waiting for their refusal. When the limit falls,
// three of four answered requests are replaced all the same, since the server would run empty otherwise.
func (l *Limiter) late() bool { return l.ceiling.sends.took.mean > 1 }

// Refused takes in back-pressure (429 or 503), and returns how long the record must wait before its next attempt: at least the server's
// Retry-After (at most 30 s), plus jitter of up to a quarter. The slot stays empty for a moment (see rest). The limit falls only if that
// lowers the share of refusals (see ceiling). If the server refuses everything, the gate closes (see gate).
func (l *Limiter) Refused(f Flight, after time.Duration) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.pass(now)
	l.climb.lost(f)
	rest := l.rest(now)
	l.rests.add(now.Add(rest))
	l.ceiling.refused(f, l.flying+l.fleet.flying)
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

// growing reports whether the limit rises into a range that was not measured yet.
func (l *Limiter) growing() bool {
	if l.source == fromGoodput {
		return l.climb.phase == rising
	}
	return l.source == fromGauges && l.waiting.slots == 0
}

// judge lets the ceiling judge the refusals. If the bound changes, the measurement of goodput starts again.
func (l *Limiter) judge(now time.Time) {
	if l.source == fromOperator || !l.fleet.lead || !l.took.any || l.gate.closed {
		return
	}
	p := pressure{growing: l.growing(), ripe: l.source != fromGoodput || l.climb.measures > 0,
		limit: l.limit(now), held: l.held + l.rests.now(now) + l.fleet.flying, settle: l.settle() + l.climb.lag}
	if l.ceiling.judge(now, p) {
		l.climb.restart(l.ceiling.now(), now)
		l.signal()
	}
}

// rest is how long the slot of a refused request stays empty, from the mean time T of an answer and the share p of refusals of late:
//
//	rest = T/8 × (1 + 12 × max(p - 0.1, 0)), at least 1 ms and at most 1 s
//
// So a refusal costs a fraction of the slot time of an answer, and each slot that a full server cannot serve sends it about one request in the
// time T. The rest doubles, up to 2 s, with each round of refusals (one for each slot) without an answer.
func (l *Limiter) rest(now time.Time) time.Duration {
	rest := firstRest
	if l.took.any {
		l.ceiling.pressed(now, l.settle())
		part := (1 + 12*max(l.ceiling.share-0.1, 0)) / restsPerAnswer
		rest = min(max(time.Duration(l.took.mean*part*1e9), leastRest), mostRest)
	}
	return min(rest<<min(l.gate.row/l.fleet.own(l.limit(now)), 10), lastRepeat)
}

// settle is the time after a change of the limit in which refusals still belong to the old limit: the mean time of an answer, within 0.2 s
// and 2 s.
func (l *Limiter) settle() time.Duration {
	return min(max(time.Duration(l.took.mean*1e9), leastSpan), mostSpan)
}

// grace is the time after which a probe without a refusal counts as accepted: three times the time of a refusal, within 0.05 s and 1 s.
func (l *Limiter) grace() time.Duration {
	return min(max(time.Duration(3*l.ceiling.sends.took.mean*1e9), minPause), time.Second)
}

// opened starts again after the gate has opened. The limit found before is kept, and approached step by step.
func (l *Limiter) opened(now time.Time) {
	l.ceiling.clear(now.Add(l.settle()))
	l.ceiling.widest = 0
	l.pace.begin(now, l.held)
	l.climb.restart(Last, now.Add(l.settle()))
}

// jitter is a random time up to a quarter of a wait, so that several processes do not retry at the same moment.
func (l *Limiter) jitter(wait time.Duration) time.Duration {
	return time.Duration(l.random.Int64N(int64(wait)/4 + 1))
}
