package engine

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"
)

// asking is one request for a record. Guarded by the simulation's mutex.
type asking struct {
	p        *simProcess
	begun    time.Time
	answered time.Time // when the process heard the answer; zero: never
	failed   bool      // the answer is one after which the record is asked again
}

// begunKey is for the time at which a process began a request: one that is frozen then asks afterwards.
type begunKey struct{}

func begun(ctx context.Context) time.Time { return ctx.Value(begunKey{}).(time.Time) }

// setback is a call on the way of a job's outcomes to their commit that failed, or took its time. Guarded by the simulation's mutex.
type setback struct {
	job        string
	began, end time.Time // end is zero while it goes on
	failed     bool
}

// toCommit makes a call on the way of a job's outcomes to their commit.
func (p *simProcess) toCommit(job string, call func() error) error {
	b := &setback{job: job, began: time.Now()}
	p.s.count(func() { p.setbacks = append(p.setbacks, b) })
	err := call()
	p.s.count(func() {
		if b.end, b.failed = time.Now(), err != nil; !b.failed && b.end.Equal(b.began) {
			p.setbacks = slices.DeleteFunc(p.setbacks, func(c *setback) bool { return b == c })
		}
	})
	return err
}

// repeat is a request that was made in vain: the record was asked again.
type repeat struct {
	*asking
	job, record string
	known       bool          // its process was killed or frozen, or its lease ran out
	age         time.Duration // of the answer then; 0 when the request was in flight
	keeps       time.Duration // how old it may have been then, by what happened
}

// absence is a time in which a process lost what it had not committed. What it begins in it, it may only go on with afterwards.
type absence struct{ from, until time.Time }

// lost tells how old the answer to a request was when its process lost what it had not committed.
func (a *asking) lost() (age time.Duration, ok bool) {
	for _, l := range a.p.losses {
		switch {
		case a.begun.After(l.until):
		case a.answered.IsZero() || a.answered.After(l.from):
			return 0, true
		default:
			return l.from.Sub(a.answered), true
		}
	}
	return 0, false
}

// excess is how much older the answer was than can be explained; less than 0 when it can.
func (r repeat) excess() time.Duration {
	if !r.known {
		return math.MaxInt64
	}
	return r.age - r.keeps
}

// repeats lists what was asked again although the model had answered, or was answering: of all requests for a record that did not fail,
// all but one, which is the one that counts. That one is taken to be the one whose loss would be the hardest to explain: an answer may be
// old and lost because its worker could not reach the bucket, while the one that counts was committed in time and is less old.
func (s *simulation) repeats() (all []repeat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for job, r := range s.requests {
		for record, asked := range r.asked {
			var once []repeat
			for _, a := range asked {
				if !a.failed {
					age, ok := a.lost()
					once = append(once, repeat{a, job, record, ok, age, a.keeps(job, age)})
				}
			}
			slices.SortFunc(once, func(a, b repeat) int { return cmp.Compare(a.excess(), b.excess()) })
			if len(once) > 1 {
				all = append(all, once[:len(once)-1]...)
			}
		}
	}
	return all
}

// What a worker keeps to itself of what it finished: a second until the segment begins, the time that the calls on the way to the commit
// take, and where one fails, the time until the next attempt, which doubles. Second and delay are from package results.
const (
	untilSegment = time.Second
	firstRetry   = 100 * time.Millisecond
	lookBack     = 25 * time.Second // a call that began longer ago was for outcomes that were committed before this one came
)

// keeps is how old the outcome of a job can get before it is committed, by what happened meanwhile, when it was lost at this age. Every
// call that failed may have been an attempt.
func (a *asking) keeps(job string, age time.Duration) time.Duration {
	lost := a.answered.Add(age)
	attempts, taken := 0, time.Duration(0)
	for _, b := range a.p.setbacks {
		if b.job != job || b.began.After(lost) || b.began.Before(a.answered.Add(-lookBack)) {
			continue
		}
		end := b.end
		if end.IsZero() || end.After(lost) {
			end = lost
		}
		taken += end.Sub(b.began)
		if b.failed {
			attempts++
		}
	}
	return untilSegment + taken + firstRetry<<attempts - firstRetry
}

// checkRepeats: where workers take over from one another, only what a lost one had in flight, or had finished so recently that it was not
// committed, is asked again. A worker that comes back with its journal repeats only what was in flight.
func (s *simulation) checkRepeats() {
	s.t.Helper()
	inFlight, finished, oldest := 0, 0, time.Duration(0)
	for _, r := range s.repeats() {
		if !s.shared || r.known && r.age == 0 {
			inFlight++
			continue
		}
		finished, oldest = finished+1, max(oldest, r.age)
		if r.excess() > 0 {
			s.t.Errorf("%s was asked again; its answer was %s old (want at most %s) when its worker was lost (%v); begun %s, answered %s, losses %v",
				r.record, r.age, r.keeps, r.known, r.begun, r.answered, r.p.losses)
		}
	}
	if most := s.interruptions * simInFlight * len(s.models); inFlight > most {
		s.t.Errorf("%d requests were repeated, want at most %d after %d interruptions", inFlight, most, s.interruptions)
	}
	s.t.Logf("asked again: %d that were in flight, %d that were finished, the oldest for %s", inFlight, finished, oldest)
}
