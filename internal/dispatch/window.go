package dispatch

import (
	"math"
	"time"
)

// window measures how much work comes back for each second while the limit stays what it is.
//
// Work that is only counted when it is finished makes a rough measure: a long answer falls into one window or the next. So the sum is
// taken the other way round, by Little's law: goodput is the mean number in flight times the work of a request for each second that it
// is in flight. Both are even where answers are not, and a few hundred answers tell one part in a hundred.
type window struct {
	limit int       // the level to be measured
	sent  time.Time // only answers to requests sent since then count: no more than limit were in flight; zero: not yet
	skip  int       // answers to pass before it opens
	from  time.Time // when it opened; zero: not yet
	last  time.Time // until when held and flying are summed

	held, flying float64 // request-seconds

	n                      int
	work, took             float64 // sums over answers, and of their products
	work2, took2, workTook float64
}

// reset begins anew. The window opens when no more than the limit are in flight, and all that were sent before that have been answered.
func (w *window) reset(limit int) { *w = window{limit: limit, skip: limit} }

// again measures the same level once more.
func (w *window) again(now time.Time) {
	*w = window{limit: w.limit, sent: w.sent, from: now, last: now}
}

// pass sums what was in flight until now.
func (w *window) pass(now time.Time, held, flying int) {
	if !w.from.IsZero() {
		d := now.Sub(w.last).Seconds()
		w.held += d * float64(held)
		w.flying += d * float64(flying)
	}
	w.last = now
	if w.sent.IsZero() && held <= w.limit {
		w.sent = now
	}
}

// add takes an answer, and tells whether it was of a request that was sent at this level.
func (w *window) add(now time.Time, f flight, work float64) bool {
	if w.sent.IsZero() {
		return false
	}
	ours := !f.sent.Before(w.sent)
	if w.from.IsZero() {
		if w.skip--; w.skip <= 0 {
			w.from, w.last = now, now
		}
	} else if ours {
		w.count(f.took, work)
	}
	return ours
}

func (w *window) count(took time.Duration, work float64) {
	t := max(took.Seconds(), 1e-9)
	w.n++
	w.work += work
	w.took += t
	w.work2 += work * work
	w.took2 += t * t
	w.workTook += work * t
}

// rate is the work of a request for each second that it is in flight.
func (w *window) rate() float64 {
	if w.took == 0 {
		return 0
	}
	return w.work / w.took
}

// errorOf is the standard error of the rate, as a share of it.
func (w *window) errorOf() float64 {
	if w.work == 0 {
		return 1
	}
	r := w.rate()
	return math.Sqrt(max(0, w.work2-2*r*w.workTook+r*r*w.took2)) / w.work
}

// sure tells whether the window tells goodput as precisely as asked, or has gone on for so long that it must do.
func (w *window) sure(least int, precision float64) bool {
	switch {
	case w.n < least:
		return false
	case w.n >= 30*least:
		return true
	}
	return w.errorOf() <= precision
}

// close returns goodput and the mean number of slots that were taken.
func (w *window) close() (goodput, held float64) {
	d := w.last.Sub(w.from).Seconds()
	if d <= 0 {
		return 0, 0
	}
	return w.flying / d * w.rate(), w.held / d
}
