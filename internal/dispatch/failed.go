package dispatch

import (
	"math/rand/v2"
	"time"

	"github.com/batholith/batholith"
)

// succeeded takes in an answer to a record. work is its output in tokens, 0 for a refusal that shows that the server works.
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

// worked notes an answer to a request that was sent at began. The caller holds l.mu.
func (l *lane) worked(began time.Time) {
	if began.After(l.answered) {
		l.answered = began
	}
	l.delay, l.vain = firstProbe, false
}

// resumed sends the records of a class again after its pause.
func (l *lane) resumed(h *history) {
	l.paused.Add(-1)
	l.d.o.Log.Info("records of a class are sent again; the model server answers them", "backend", l.backend.String(), "model", l.backend.ModelName(), "class", h.class.String())
	for _, q := range l.served() {
		q.rouse(h.class)
	}
	l.tell()
}

// failed takes in a failed attempt: it informs the limiter, updates what is known of the record and its class, and carries out the verdict.
func (l *lane) failed(it *item, f *batholith.Failure) {
	now := time.Now()
	it.rest = 0
	if off := it.term.Err() != nil; off || f.Kind == batholith.FailureUnreachable { // neither says anything about the record
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

// limits tells the limiter about a failure, and returns the least time for which the record must wait so that others can use the server.
func (l *lane) limits(it *item, f *batholith.Failure, now time.Time) (wait time.Duration) {
	switch {
	case f.Kind != batholith.FailureBackPressure:
		l.limit.Failed(it.flight)
	case l.itsOwn(it, now): // the refusal is about this record and not about the load
		l.limit.Failed(it.flight)
		wait = max(min(f.RetryAfter, longestAsk), longestRest)
	default:
		wait = l.limit.Refused(it.flight, f.RetryAfter)
		it.rest = min(wait, longestRest)
	}
	return wait
}

// blame adds a failure to what is known of the record and of its class, and returns the verdict.
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
		it.crashes++ // item.attempt subtracts it again if only this connection broke
	}
	it.failure, it.failedAt, it.failedOn = f, now, l
	l.retries.spend(it.rest, 1) // the slot stays empty for that time
	e := l.evidence(it.class, now)
	if f.Kind == batholith.FailureBackPressure && e.idle && e.row >= allRefused {
		l.inquires(h, f) // the limiter allows one request by now; a canary shows whether the server or the records are at fault
	}
	return judge(it.attempt(l), f, e)
}

// suspect takes the backend out of use until a probe, because the connection of its only request broke. If the server answers the probe, it
// did not crash.
func (l *lane) suspect(f *batholith.Failure, now time.Time) {
	l.mu.Lock()
	if l.out == "" {
		l.out, l.unsure, l.outSince = reason(f), true, now
	}
	l.mu.Unlock()
	l.signal()
}

// refusedInRow is how many refusals of a job's records in a row suggest that the records are at fault. besideOver is the number of answers
// over which lane.beside is averaged.
const (
	refusedInRow = 8
	besideOver   = 64
)

// itsOwn reports whether back-pressure is likely to be caused by the record itself and not by the load. It is in two cases:
//
//   - refusedInRow records of the job were refused in a row, and meanwhile requests of their class were answered
//   - nearly all records of the job were refused of late, some were answered between them, and at most half as many requests are in flight as
//     when the server answers. This does not apply to a server that refuses everything, since no answer then ends the row.
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

// allRefused is how many refusals in a row, with nothing in flight, suggest that the server refuses everything. longestRest is how long the
// slot of a refused request stays empty at most.
const (
	allRefused  = 3
	longestRest = time.Second
)

// attempt is the table's input about a record, judged for a lane. The caller holds the mutex of the lane on which the record failed.
func (it *item) attempt(at *lane) attempt {
	a := attempt{calledOff: it.term.Err() != nil, failures: it.failures, alone: it.sole, once: it.once, crashes: it.crashes}
	h := it.failedOn.at(it.class)
	a.needed = attemptsNeeded(at.d.tuned().Attempts, h.share.share())
	a.lost = at != it.failedOn && (h.paused || it.failedOn.out != "" || it.failedOn.closed())
	if it.broke != nil {
		a.shared = it.broke.shared()
		if !a.shared && !it.sole {
			a.crashes--
		}
	}
	return a
}

// rejudged is the verdict on a record that has waited, for a lane. It changes only the record. The caller holds queue.mu.
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

// carryOut does what a verdict says about a record that has just failed.
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

// pause stops sending the records of a class on the lane, and starts to probe it. It does nothing if the class is paused already.
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
	l.d.o.Log.Warn("records of a class wait, because the model server fails on them; Batholith retries automatically", "backend", l.backend.String(), "model", l.backend.ModelName(), "class", c.String(), "failures_in_row", row, "why", why.Reason())
	if f := l.d.o.Listener.Paused; f != nil {
		f(batholith.Paused{Model: l.model, Backend: l.backend.String(), Class: c.String(), Kind: why.Kind})
	}
	l.signal()
	l.tell()
}

// jitter returns a random time between 3/4 and 5/4 of d.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d*3/4 + time.Duration(rand.Int64N(int64(d)/2+1))
}
