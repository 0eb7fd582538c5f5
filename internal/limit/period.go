package limit

import (
	"math"
	"time"
)

// period measures how much work comes back for each second while the limit stays what it is.
//
// Counting finished work is a rough measure, since a long answer falls into one period or the next. Little's law gives an even one:
//
//	goodput = mean in flight × Σ work / (Σ seconds in flight of answers + Σ seconds in flight of requests that failed)
//
// in output tokens a second. A few hundred answers give it to 1 %.
type period struct {
	limit int       // the level to be measured
	after time.Time // it does not open before
	sent  time.Time // only answers to requests sent since then count: no more than limit were in flight; zero: not yet
	skip  int       // answers to pass before it opens
	from  time.Time // when it opened; zero: not yet
	last  time.Time // until when held and flying are summed

	held, flying float64 // request-seconds

	n                      int
	lost                   float64 // seconds in flight of requests that brought nothing
	work, took             float64 // sums over answers, and of their products
	work2, took2, workTook float64
}

// reset begins a new measurement. It opens when at most limit requests are in flight and as many answers have passed.
func (p *period) reset(limit int) { *p = period{limit: limit, skip: limit} }

// again measures the same level once more.
func (p *period) again(now time.Time) {
	*p = period{limit: p.limit, sent: p.sent, from: now, last: now}
}

// pass sums what was in flight until now.
func (p *period) pass(now time.Time, held, flying int) {
	if !p.from.IsZero() {
		d := now.Sub(p.last).Seconds()
		p.held += d * float64(held)
		p.flying += d * float64(flying)
	}
	p.last = now
	if p.sent.IsZero() && held <= p.limit && !now.Before(p.after) {
		p.sent = now
	}
}

// add takes an answer, and tells whether it was of a request that was sent at this level.
func (p *period) add(now time.Time, f Flight, work float64) bool {
	if p.sent.IsZero() {
		return false
	}
	ours := !f.sent.Before(p.sent)
	if p.from.IsZero() {
		if p.skip--; p.skip <= 0 {
			p.from, p.last = now, now
		}
	} else if ours {
		p.count(f.took, work)
	}
	return ours
}

func (p *period) count(took time.Duration, work float64) {
	t := max(took.Seconds(), 1e-9)
	p.n++
	p.work += work
	p.took += t
	p.work2 += work * work
	p.took2 += t * t
	p.workTook += work * t
}

// lose takes a request that came back without an answer. It was in flight like others.
func (p *period) lose(f Flight) {
	if !p.from.IsZero() && !f.sent.Before(p.sent) {
		p.lost += f.took.Seconds()
	}
}

// rate is Σ work / Σ seconds in flight, over answers: tokens a second of one request.
func (p *period) rate() float64 {
	if p.took == 0 {
		return 0
	}
	return p.work / p.took
}

// errorOf is the standard error of the rate r as a share of it: √Σ(work - r × seconds)² / Σ work.
func (p *period) errorOf() float64 {
	if p.work == 0 {
		return 1
	}
	r := p.rate()
	return math.Sqrt(max(0, p.work2-2*r*p.workTook+r*r*p.took2)) / p.work
}

// sure tells whether the period tells goodput as precisely as asked, or has gone on for so long that it must do.
func (p *period) sure(least int, precision float64) bool {
	switch {
	case p.n < least:
		return false
	case p.n >= 30*least:
		return true
	}
	return p.errorOf() <= precision
}

// close returns goodput and the mean number of slots that were taken.
func (p *period) close() (goodput, held float64) {
	d := p.last.Sub(p.from).Seconds()
	if d <= 0 {
		return 0, 0
	}
	if p.took == 0 {
		return 0, p.held / d
	}
	return p.flying / d * p.work / (p.took + p.lost), p.held / d
}
