package dispatch

import (
	"math"
	"time"
)

// load is a job in a forecast.
type load struct {
	tenant   string
	priority priority
	left     float64 // tokens
}

// expectation is when a job gets its first tokens, and its last, in seconds from now.
type expectation struct{ begin, end float64 }

// expect lets the tokens of all jobs flow as shares divides them, until the last job is done. Loads are in the order in which they came;
// no more is to come, and the rate stays.
func expect(loads []load, rate float64) []expectation {
	out := make([]expectation, len(loads))
	left := make([]float64, len(loads))
	for i, l := range loads {
		left[i] = l.left
		out[i].begin = math.Inf(1)
	}
	speed := make([]float64, len(loads))
	for t := 0.0; ; {
		flow(loads, left, rate, speed)
		step := math.Inf(1)
		for i, s := range speed {
			if s > 0 {
				out[i].begin = min(out[i].begin, t)
				step = min(step, left[i]/s)
			}
		}
		if math.IsInf(step, 1) {
			return out
		}
		t += step
		for i, s := range speed {
			if s > 0 {
				if left[i] -= s * step; left[i] <= 1e-6*loads[i].left {
					left[i], out[i].end = 0, t
				}
			}
		}
	}
}

// flow says how fast each job with something left goes on: alike for each tenant, by weight for each of its lines, and in a line by the
// shares of its two heads.
func flow(loads []load, left []float64, rate float64, speed []float64) {
	type place struct {
		tenant   string
		priority priority
	}
	type pair struct{ first, short int }
	clear(speed)
	heads := map[place]pair{}
	sum := map[string]float64{} // weights of a tenant's lines
	for i, l := range loads {
		if left[i] <= 0 {
			continue
		}
		at := place{l.tenant, l.priority}
		h, ok := heads[at]
		if !ok {
			h = pair{i, i}
			sum[l.tenant] += weights[l.priority]
		} else if left[i] < left[h.short] {
			h.short = i
		}
		heads[at] = h
	}
	for at, h := range heads {
		own := rate / float64(len(sum)) * weights[at.priority] / sum[at.tenant]
		part := own * roleShares[oldest] / (roleShares[oldest] + roleShares[shortest])
		speed[h.first] += part
		speed[h.short] += own - part
	}
}

// meter measures tokens a second while the lanes have work.
type meter struct {
	tokens float64
	since  time.Time // of tokens; zero while nothing is in flight
	rate   float64   // tokens a second; 0 while it is not known
}

const (
	meterEvery = time.Second
	meterOver  = 20 * time.Second // what is older counts less
)

// begin notes that there is work.
func (m *meter) begin(now time.Time) {
	if m.since.IsZero() {
		m.since = now
	}
}

// pause notes that nothing is in flight.
func (m *meter) pause() { m.since, m.tokens = time.Time{}, 0 }

func (m *meter) add(tokens float64, now time.Time) {
	m.begin(now)
	m.tokens += tokens
	passed := now.Sub(m.since)
	if passed < meterEvery {
		return
	}
	seen := m.tokens / passed.Seconds()
	if m.rate == 0 {
		m.rate = seen
	} else {
		m.rate += (seen - m.rate) * (1 - math.Exp(-passed.Seconds()/meterOver.Seconds()))
	}
	m.tokens, m.since = 0, now
}
