package dispatch

import (
	"math/rand/v2"
	"time"

	"github.com/batholith/batholith"
)

// succeeded takes in that the backend answered a record, and the work in it.
func (l *lane) succeeded(it *item, work float64) {
	l.limit.Succeeded(it.flight, work)
	l.mu.Lock()
	l.beside += (float64(l.limit.InFlight()+1) - l.beside) / besideOver
	h := l.at(it.class)
	h.share.answer(it.failures)
	l.worked(it.began)
	resumed := h.succeed(it.began, true)
	l.mu.Unlock()
	if resumed {
		l.resumed(h)
	}
}

// worked notes an answer to a request that began then. The caller holds l.mu.
func (l *lane) worked(began time.Time) {
	if began.After(l.answered) {
		l.answered = began
	}
	l.delay, l.vain = firstProbe, false
}

// resumed lets the records of a class go on.
func (l *lane) resumed(h *history) {
	l.paused.Add(-1)
	l.d.o.Log.Info("records of a class are sent again", "backend", l.backend.String(), "model", l.backend.ModelName(), "class", h.class.String())
	for _, q := range l.served() {
		q.rouse(h.class)
	}
	l.tell()
}

// failed takes in a failure, and has the table say what it means.
func (l *lane) failed(it *item, f *batholith.Failure) {
	now := time.Now()
	it.rest = 0
	if off := it.term.Err() != nil; off || f.Kind == batholith.FailureUnreachable { // neither says anything of the record
		l.carryOut(it, f, judge(attempt{calledOff: off}, f, evidence{}))
		return
	}
	wait := l.limits(it, f, now)
	v := l.blame(it, f, now)
	v.after = max(v.after, wait)
	if f.Crash && it.sole {
		l.suspect(f, now)
	}
	l.carryOut(it, f, v)
}

// limits tells the limiter of a failure, and returns how long the record waits at least for the sake of the others.
func (l *lane) limits(it *item, f *batholith.Failure, now time.Time) (wait time.Duration) {
	switch {
	case f.Kind != batholith.FailureBackPressure:
		l.limit.Failed(it.flight)
	case l.itsOwn(it, now): // how much is in flight has nothing to do with it
		l.limit.Failed(it.flight)
		wait = max(min(f.RetryAfter, longestAsk), longestRest)
	default:
		wait = l.limit.Refused(it.flight, f.RetryAfter)
		it.rest = min(wait, longestRest)
	}
	return wait
}

// blame adds a failure to what is known of the record and of its class, and judges it.
func (l *lane) blame(it *item, f *batholith.Failure, now time.Time) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.at(it.class)
	if f.Kind != batholith.FailureBackPressure {
		it.attempts++
	}
	h.fail(f, !it.again())
	if h.paused && it.trial && !l.hasCanary(it.class) && h.tries >= fewMisses {
		h.missed++
	}
	it.broke = nil
	if f.Crash {
		l.breakOff(it, now)
		it.crashes++ // attempt takes it back when only this connection broke
	}
	it.failure, it.failedAt, it.failedOn = f, now, l
	l.retries.spend(it.rest, 1) // its slot rests
	e := l.evidence(it.class, now)
	if f.Kind == batholith.FailureBackPressure && e.idle && e.row >= allRefused {
		l.inquires(h, f) // the limiter sends one at a time by now; a canary tells whether it is the server or the records
	}
	return judge(it.attempt(l), f, e)
}

// suspect has a server probed over which a request broke off that was alone. If it answers the probe it is there.
func (l *lane) suspect(f *batholith.Failure, now time.Time) {
	l.mu.Lock()
	if l.out == "" {
		l.out, l.unsure, l.outSince = reason(f), true, now
	}
	l.mu.Unlock()
	l.signal()
}

// refusedInRow is how many records of a job must be refused in a row to look as if it were for what they are; besideOver is over about how
// many answers lane.beside is taken.
const (
	refusedInRow = 8
	besideOver   = 64
)

// itsOwn tells whether a refusal is likely to be for what the record is. That is so in two cases:
//
//   - a row of the job's records was refused, and requests of the class that began meanwhile were answered
//   - nearly all of the job's records were refused of late, but for some that were answered between, and no more than half as many requests
//     are in flight as when the server answered. A server that refuses everything is not meant: no answer ends its row.
func (l *lane) itsOwn(it *item, now time.Time) bool {
	f := it.feed
	f.queue.mu.Lock()
	if f.refused++; f.refused == 1 {
		f.refusedAt = now
	}
	f.refusals++
	row, since, refusals := f.refused, f.refusedAt, f.refusals
	f.queue.mu.Unlock()
	if refusals < refusedInRow {
		return false
	}
	flying := float64(l.limit.InFlight() + 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if row >= refusedInRow && l.at(it.class).answered.After(since) {
		return true
	}
	return refusals-row >= refusedInRow/2 && row <= l.limit.Size() && 2*flying <= l.beside
}

// allRefused is how many refusals in a row, with nothing in flight, look as if everything were refused; longestRest is how long the slot of a
// refused request stays empty at the most.
const (
	allRefused  = 3
	longestRest = time.Second
)

// attempt is what the table is told of a record that is judged on a lane. The caller holds the mutex of the lane on which it failed.
func (it *item) attempt(at *lane) attempt {
	a := attempt{calledOff: it.term.Err() != nil, failures: it.failures, alone: it.sole, once: it.once, crashes: it.crashes}
	h := it.failedOn.at(it.class)
	a.needed = attemptsNeeded(at.d.o.Attempts, h.share.share())
	a.lost = at != it.failedOn && (h.paused || it.failedOn.out != "")
	if it.broke != nil {
		a.shared = it.broke.shared()
		if !a.shared && !it.sole {
			a.crashes--
		}
	}
	return a
}

// rejudged is what the table says, on a lane, of a record that has waited. Nothing but the record is changed by it. The caller holds
// queue.mu.
func (it *item) rejudged(at *lane) verdict {
	on := it.failedOn
	on.mu.Lock()
	defer on.mu.Unlock()
	a := it.attempt(at)
	a.waited = true
	v := judge(a, it.failure, on.evidence(it.class, it.failedAt))
	if v.act != ask && v.act != finish {
		return v
	}
	it.crashes, it.broke = a.crashes, nil
	if v.own {
		it.failures++
	}
	it.apart = v.alone
	it.ends = v.act == finish
	return v
}

// carryOut does what the table says of a record that has failed just now.
func (l *lane) carryOut(it *item, f *batholith.Failure, v verdict) {
	if v.out {
		l.takeOut(reason(f))
	}
	switch v.act {
	case drop:
		it.feed.drop(it)
	case back:
		it.feed.back(it)
	case pause:
		l.pause(it.class, f)
		it.feed.wait(it, pausedFor)
	case finish:
		l.end(it)
	default:
		it.feed.wait(it, jitter(v.after))
	}
}

// pause has the records of a class wait, and begins to probe it.
func (l *lane) pause(c *class, why *batholith.Failure) {
	l.mu.Lock()
	h := l.at(c)
	first := h.pause(time.Now(), why)
	if first {
		l.paused.Add(1)
	}
	row := h.row
	l.mu.Unlock()
	if !first {
		return
	}
	l.d.o.Log.Warn("records of a class wait", "backend", l.backend.String(), "model", l.backend.ModelName(), "class", c.String(), "failures_in_row", row, "why", why.Reason())
	l.signal()
	l.tell()
}

// jitter spreads what waits, between three quarters and five quarters of a delay.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d*3/4 + time.Duration(rand.Int64N(int64(d)/2+1))
}
