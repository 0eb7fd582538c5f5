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
	from   time.Time // zero: no window is open
	last   time.Time // until when held and flying are summed
	skip   int       // answers to pass before it opens
	held   float64   // request-seconds, as the next
	flying float64

	n                      int
	work, took             float64 // sums over answers, and of their products
	work2, took2, workTook float64
}

// reset makes the window open after so many more answers: those of the requests that were sent before the limit was reached.
func (w *window) reset(now time.Time, skip int) { *w = window{skip: skip, last: now} }

// pass sums what was in flight until now.
func (w *window) pass(now time.Time, held, flying int) {
	if !w.from.IsZero() {
		d := now.Sub(w.last).Seconds()
		w.held += d * float64(held)
		w.flying += d * float64(flying)
	}
	w.last = now
}

// add takes an answer.
func (w *window) add(now time.Time, took time.Duration, work float64) {
	if w.from.IsZero() {
		if w.skip--; w.skip <= 0 {
			w.from, w.last = now, now
		}
		return
	}
	w.count(took, work)
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
