package engine

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"
)

// asking is one request for a record, by one process. Guarded by the simulation's mutex.
type asking struct {
	p        *simProcess
	begun    time.Time
	answered time.Time // when the process got the answer; zero: never
	failed   bool      // the answer is a failure after which the record is sent again
}

// begunKey is the context key of the time at which a process began a request. The request itself may be sent later, if the process was frozen
// in between.
type begunKey struct{}

func begun(ctx context.Context) time.Time { return ctx.Value(begunKey{}).(time.Time) }

// setback is a call that delayed the commit of a job's outcomes: it failed or took time. Guarded by the simulation's mutex.
type setback struct {
	job        string
	began, end time.Time // end is zero while the call runs
	failed     bool
}

// toCommit makes a call that is needed for the commit of a job's outcomes, and notes a setback if it fails or takes time.
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

// repeat is a request whose result was lost, so that the record was sent again.
type repeat struct {
	*asking
	job, record string
	known       bool          // its process was killed or frozen, or lost its lease, after the request began
	age         time.Duration // time from the answer to that loss; 0: the request was in flight
	keeps       time.Duration // the greatest age that is allowed, see asking.keeps
}

// absence is a time from a loss (kill, freeze, lost lease) until the process works again. Outcomes that were not committed at its start
// are lost.
type absence struct{ from, until time.Time }

// lost returns the age of the answer at the next loss of its process, 0 if the request was in flight, and false if there was no loss.
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

// excess is age - keeps; above 0 the loss violates the law. It is the greatest Duration if there was no loss at all.
func (r repeat) excess() time.Duration {
	if !r.known {
		return math.MaxInt64
	}
	return r.age - r.keeps
}

// repeats lists the lost requests. If n requests for a record were answered or were being answered, one of them gave the outcome and n - 1
// are lost. The simulation cannot see which one gave the outcome. It assumes that it is the one with the greatest excess, so that the law only
// fails if no choice satisfies it.
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

// An outcome is not committed yet, and so lost with its worker, for at most
//
//	1 s until its segment begins + the time of the calls up to the commit + 0.1 s × (2^failures - 1) between attempts
//
// The first and the last term are constants of package results.
const (
	untilSegment = time.Second
	firstRetry   = 100 * time.Millisecond
	lookBack     = 25 * time.Second // calls that began longer before the answer belonged to earlier outcomes
)

// keeps is the greatest age at which an uncommitted answer may be lost, by the formula above, with the setbacks between the answer and its
// loss at the given age. Every failed call counts as a failed attempt.
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

// checkRepeats checks the law of repeats. After the loss of a worker, only these records are sent again: those that were in flight, and, if
// another worker takes over, those whose answer was too young to be committed (see asking.keeps). A worker that returns with its journal
// repeats only those in flight.
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
			s.t.Errorf("%s was sent again; its answer was %s old (want at most %s) when its worker was lost (%v); begun %s, answered %s, losses %v",
				r.record, r.age, r.keeps, r.known, r.begun, r.answered, r.p.losses)
		}
	}
	if most := s.interruptions * simInFlight * len(s.models); inFlight > most {
		s.t.Errorf("%d requests were repeated, want at most %d after %d interruptions", inFlight, most, s.interruptions)
	}
	s.t.Logf("sent again: %d records in flight, %d finished records, the oldest answer %s old", inFlight, finished, oldest)
}
