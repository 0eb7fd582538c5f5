package simlm

import (
	"slices"
	"time"
)

// account counts requests and tokens since the start and since the last reset. The batch's mutex guards it.
type account struct {
	schedule []Slots
	later    int // index of the next change in schedule
	slots    int // now; -1: no bound

	running, waiting int
	flying           int // requests of clients, running or waiting
	held             int // tokens of the running requests: prompts, and answers so far
	queued           int // prompt tokens of the waiting requests

	total, base   Totals // since the start, and their values at the last reset
	others        OtherTotals
	otherBase     OtherTotals
	waits, otherW waits

	began, at time.Time // the last reset; the end of the sums below
	sums      sums
	most      struct{ running, waiting, flying int }
	first     time.Time // arrival of the first request of a client since then, and the sums at that time
	firstSums sums
	last      time.Time // time of the last answer, and the sums at that time
	lastSums  sums
	long      time.Time // time of the last answer of more than one token,
	longs     int64     // and how many there were
	series    series
	interval  time.Duration
	initial   int // slots before the schedule begins
}

// sums are integrals over time, in seconds × requests.
type sums struct {
	busy, offered            float64 // taken slots; existing slots
	running, waiting, flying float64
}

// open begins the account with the slots of the options.
func (a *account) open(o *Options, now time.Time) {
	a.schedule, a.interval, a.initial = o.Schedule, o.Series, o.Slots
	if o.Slots <= 0 {
		a.initial = -1
	}
	a.at = now
	a.reset(now)
}

// reset starts the account and the schedule of slots again. Running and waiting requests continue.
func (a *account) reset(now time.Time) {
	a.began, a.at, a.sums = now, now, sums{}
	a.first, a.last, a.firstSums, a.lastSums = time.Time{}, time.Time{}, sums{}, sums{}
	a.long, a.longs = time.Time{}, 0
	a.base, a.otherBase = a.total, a.others
	a.waits, a.otherW = waits{}, waits{}
	a.slots, a.later = a.initial, 0
	a.series = newSeries(a.interval, now)
	a.most.running, a.most.waiting, a.most.flying = a.running, a.waiting, a.flying
	a.advance(now)
}

// change returns the next time at which the number of slots changes, if there is one.
func (a *account) change() (time.Time, bool) {
	if a.later == len(a.schedule) {
		return time.Time{}, false
	}
	return a.began.Add(a.schedule[a.later].From), true
}

// advance adds the time until now to the sums. It must be called before every change of running or waiting.
func (a *account) advance(now time.Time) {
	for {
		at, ok := a.change()
		if !ok || at.After(now) {
			break
		}
		a.sum(at)
		a.slots = a.schedule[a.later].Count
		a.later++
	}
	a.sum(now)
}

// sum adds the time until a moment in which nothing has changed.
func (a *account) sum(until time.Time) {
	d := until.Sub(a.at).Seconds()
	if d <= 0 {
		return
	}
	a.at = until
	a.most.waiting = max(a.most.waiting, a.waiting) // here, since a request that finds a free slot at once does not count as waiting
	if a.slots >= 0 {                               // after a change of the schedule more requests may run than there are slots
		a.sums.busy += d * float64(a.running)
		a.sums.offered += d * float64(max(a.slots, a.running))
	}
	a.sums.running += d * float64(a.running)
	a.sums.waiting += d * float64(a.waiting)
	a.sums.flying += d * float64(a.flying)
	a.series.note(until, a.running, a.waiting, a.slots)
}

// entered counts a request that joins the queue.
func (a *account) entered(s *sequence) {
	a.waiting++
	a.queued += s.prompt
	if s.other {
		a.others.Requests++
	} else {
		a.total.Requests++
		a.flying++
		if a.first.IsZero() {
			a.first, a.firstSums = a.at, a.sums
		}
	}
	a.most.flying = max(a.most.flying, a.flying)
}

// refused counts a request that found the queue full.
func (a *account) refused(s *sequence) {
	if s.other {
		a.others.Requests++
		a.others.Refused++
		return
	}
	a.total.Requests++
	a.total.Refused++
}

// gaveUp counts a waiting request whose client has gone.
func (a *account) gaveUp(s *sequence) {
	a.waiting--
	a.queued -= s.prompt
	a.flying--
}

// admitted counts a request that leaves the queue for a slot.
func (a *account) admitted(s *sequence, now time.Time) {
	a.waiting--
	a.queued -= s.prompt
	a.running++
	a.held += s.prompt
	a.most.running = max(a.most.running, a.running)
	if s.resumes {
		a.held += s.made
		return
	}
	a.total.PromptTokens += int64(s.prompt)
	a.total.CachedTokens += int64(s.cached)
	if s.other {
		a.otherW.add(now.Sub(s.came))
	} else {
		a.waits.add(now.Sub(s.came))
	}
}

// preempted counts a running request that goes back to the queue.
func (a *account) preempted(s *sequence) {
	a.running--
	a.waiting++
	a.held -= s.prompt + s.made
	a.queued += s.prompt
	a.total.Preempted++
}

// generated counts output tokens of a request.
func (a *account) generated(s *sequence, tokens int) {
	s.made += tokens
	a.held += tokens
	a.total.GeneratedTokens += int64(tokens)
}

// answered counts a finished answer.
func (a *account) answered(s *sequence) {
	if s.other {
		a.others.Answered++
		return
	}
	a.total.Answered++
	a.last, a.lastSums = a.at, a.sums
	if s.output > 1 {
		a.long, a.longs = a.at, a.longs+1
	}
}

// freed counts the end of a running request, with or without an answer.
func (a *account) freed(s *sequence) {
	a.running--
	a.held -= s.prompt + s.made
	if !s.other {
		a.flying--
	}
}

// waits are the latest waiting times of one kind of request.
type waits struct {
	ring []time.Duration
	next int
}

// maxWaits bounds their number, and so their memory.
const maxWaits = 1 << 16

// add notes a waiting time, in place of the oldest if there are maxWaits.
func (w *waits) add(d time.Duration) {
	if len(w.ring) < maxWaits {
		w.ring = append(w.ring, d)
		return
	}
	w.ring[w.next] = d
	w.next = (w.next + 1) % maxWaits
}

// figures computes the quantiles.
func (w *waits) figures() Waits {
	if len(w.ring) == 0 {
		return Waits{}
	}
	sorted := slices.Clone(w.ring)
	slices.Sort(sorted)
	at := func(share float64) float64 { return sorted[int(share*float64(len(sorted)-1)+0.5)].Seconds() }
	return Waits{P50: at(0.5), P95: at(0.95), Max: at(1)}
}
