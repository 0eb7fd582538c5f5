package limit

import "time"

const (
	firstLevel = 8
	leastPace  = 192. // requests a second,
	growPace   = 5.   // and as many for each that is in flight
)

// pace keeps a rise of the limit from becoming a burst. A server admits what comes once in a step of some ten milliseconds, and may refuse what
// comes meanwhile though it has slots. So what is in flight grows by
//
//	growth ≤ max(192, 5 × in flight) requests a second
//
// which is e-fold in a fifth of a second. Requests that replace those that have come back are no growth.
type pace struct {
	level float64 // as many may be in flight
	at    time.Time
}

func (p *pace) begin(now time.Time, flying int) { p.level, p.at = float64(flying)+firstLevel, now }

// gauges begins with as much as a search does: with gauges it is seen at once when that is too much.
func (p *pace) gauges() { p.level = max(p.level, First) }

// wait is how long it takes until one more than so many may be in flight.
func (p *pace) wait(now time.Time, taken, limit int) time.Duration {
	if d := now.Sub(p.at).Seconds(); d > 0 {
		p.level += p.rate() * min(d, 1) // the level grows only while it is pushed at
		p.at = now
	}
	p.level = min(p.level, max(float64(limit), firstLevel))
	if missing := float64(taken+1) - p.level; missing > 0 {
		return time.Duration(missing/p.rate()*1e9) + time.Microsecond
	}
	return 0
}

func (p *pace) rate() float64 { return max(leastPace, growPace*p.level) }
