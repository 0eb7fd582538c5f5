package limit

import "time"

const (
	firstLevel = 8    // requests in flight at the start
	leastPace  = 192. // requests per second
	growPace   = 5.   // requests per second for each request in flight
)

// pace spreads a rise of the limit over time. A server admits new requests once in a step of some 10 ms, and may refuse a burst in between
// although it has free slots. So the number in flight grows by at most
//
//	growth ≤ max(192, 5 × in flight) requests per second
//
// which is a factor of e in 0.2 s. A worker with a share of the limit has that share of the 192. A request that replaces one that has ended is no growth.
type pace struct {
	level float64   // requests that may be in flight
	at    time.Time // when level was computed
	part  float64   // share of the limit; 0: all of it
}

// begin starts firstLevel above the requests that are in flight.
func (p *pace) begin(now time.Time, flying int) { p.level, p.at = float64(flying)+firstLevel, now }

// gauges starts with First requests: gauges show at once if that is too many.
func (p *pace) gauges() { p.level = max(p.level, First) }

// wait is the time until one request more than taken may be in flight.
func (p *pace) wait(now time.Time, taken, limit int) time.Duration {
	if d := now.Sub(p.at).Seconds(); d > 0 {
		p.level += p.rate() * min(d, 1) // at most for 1 s, so that the level does not grow while nothing is sent
		p.at = now
	}
	p.level = min(p.level, max(float64(limit), firstLevel))
	if missing := float64(taken+1) - p.level; missing > 0 {
		return time.Duration(missing/p.rate()*1e9) + time.Microsecond
	}
	return 0
}

// rate is the growth of the level, in requests per second.
func (p *pace) rate() float64 {
	least := leastPace
	if p.part > 0 {
		least *= p.part
	}
	return max(least, growPace*p.level)
}
