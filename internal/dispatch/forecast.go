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

// expectation is when a job gets its first and its last tokens, in seconds from now. begin is +Inf for a job with nothing left.
type expectation struct{ begin, end float64 }

// expect simulates how the tokens of all jobs are processed, at a constant rate (tokens per second) that is divided as in shares, until all
// are done. It assumes that no further jobs come. Loads are in order of arrival. Each round advances to the end of the next job:
//
//	step = min over jobs of left / speed
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

// flow computes the speed of each job with tokens left, in tokens per second:
//
//	line = rate / tenants × weight of the line / sum of the weights of the tenant's lines
//	shortest job of the line: 3/4 of it; oldest job: 1/4; if they are the same job: all of it
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

// meter measures the model's rate in tokens per second, leaving out times with nothing in flight.
type meter struct {
	tokens float64
	since  time.Time // start of the present measurement; zero while nothing is in flight
	rate   float64   // tokens per second; 0 until it is known
}

const (
	meterEvery = time.Second      // length of one measurement
	meterOver  = 20 * time.Second // time constant of the moving average
)

// begin starts a measurement if none runs: a request is in flight.
func (m *meter) begin(now time.Time) {
	if m.since.IsZero() {
		m.since = now
	}
}

// pause drops the present measurement: nothing is in flight.
func (m *meter) pause() { m.since, m.tokens = time.Time{}, 0 }

// add counts tokens that were processed. Once a second it updates the moving average:
//
//	rate += (measured - rate) × (1 - e^(-passed / meterOver))
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
