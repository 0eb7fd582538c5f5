package limit

import (
	"math"
	"slices"
	"time"
)

// period measures goodput at one limit: the work of answers per second.
//
// Counting the work that is finished in a period is imprecise, since one long answer falls into this period or the next. Little's law is more
// precise:
//
//	goodput = mean in flight × Σ work / (Σ seconds in flight of answers + Σ seconds in flight of requests that failed)
//
// in output tokens per second. A few hundred answers give it to 1 %.
type period struct {
	limit int       // the level to be measured
	after time.Time // the measurement does not open before
	sent  time.Time // since then at most limit requests were in flight; only answers to requests sent later count; zero: not yet
	skip  int       // answers to ignore before it opens
	from  time.Time // when it opened; zero: not yet
	last  time.Time // end of the sums held and flying

	held, flying float64 // request-seconds

	n                      int
	lost                   float64 // seconds in flight of requests without an answer
	work, took             float64 // sums over answers, and of their products
	work2, took2, workTook float64
}

// reset starts a new measurement. It opens when at most limit requests are in flight and skip answers have passed.
func (p *period) reset(limit, skip int) { *p = period{limit: limit, skip: skip} }

// again measures the same level again.
func (p *period) again(now time.Time) {
	*p = period{limit: p.limit, sent: p.sent, from: now, last: now}
}

// anew measures the same level once more, from requests that are sent from now on, after so many answers: the first are the short ones.
func (p *period) anew(now time.Time, skip int) { *p = period{limit: p.limit, sent: now, skip: skip} }

// pass adds the time until now, with the slots held and the requests in flight during it.
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

// add takes in an answer, and reports whether its request was sent at this level.
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

// count adds an answer to the sums.
func (p *period) count(took time.Duration, work float64) {
	t := max(took.Seconds(), 1e-9)
	p.n++
	p.work += work
	p.took += t
	p.work2 += work * work
	p.took2 += t * t
	p.workTook += work * t
}

// lose adds a request that ended without an answer. It took a slot like others.
func (p *period) lose(f Flight) {
	if !p.from.IsZero() && !f.sent.Before(p.sent) {
		p.lost += f.took.Seconds()
	}
}

// rate is Σ work / Σ seconds in flight, over answers: tokens per second of one request.
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

// sure reports whether goodput is known to the given precision (standard error as a share), from at least least answers. After 30 × least
// answers it returns true in any case.
func (p *period) sure(least int, precision float64) bool {
	switch {
	case p.n < least:
		return false
	case p.n >= 30*least:
		return true
	}
	return p.errorOf() <= precision
}

// close returns goodput and the mean number of slots taken.
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

// rates are of requests: work for each second in flight. Their median is that of most requests, where a few take much longer than others.
type rates []float64

func (r *rates) add(f Flight, work float64) { *r = append(*r, work/max(f.took.Seconds(), 1e-9)) }

// at is a quantile.
func (r rates) at(q float64) float64 {
	slices.Sort(r)
	return r[int(q*float64(len(r)))]
}
