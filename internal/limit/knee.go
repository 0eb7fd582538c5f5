package limit

import (
	"math"
	"time"
)

// answersOfLevel is the least number of answers for a measurement in the search. A server of few slots gives them slowly, so its levels are
// further apart.
const answersOfLevel = 48

// search tries a level between low, the highest that is not enough, and high, the lowest that is. It ends when high ≤ 1.07 × low. It approaches
// the knee from above, since a level that is too low leaves slots empty.
func (c *climb) search(now time.Time) {
	floor, high := c.floor(), float64(c.high.limit)
	if high <= bracket*floor || high-floor <= 1 {
		c.hold = level{max(int(headroom*math.Sqrt(min(floor, high)*high)), c.high.limit), c.best.goodput, c.best.err}
		c.rest(now)
		if c.high.limit == c.top { // what is above was not tried
			c.look, c.untried = now, true
		}
		return
	}
	c.phase = searching
	try := high * (1 - min(0.07*max(answersOfLevel/high, 1), 0.2))
	if c.far() {
		try = math.Sqrt(floor * high)
	}
	c.limit = min(max(int(math.Ceil(try)), int(floor)+1), c.high.limit-1)
}

// floor is a lower bound of the knee: goodput rises at most in proportion to the limit, so knee ≥ L × 0.975 × best / G(L) for every L.
func (c *climb) floor() float64 {
	floor := enough * c.slots()
	if c.low.goodput > 0 {
		floor = max(floor, float64(c.low.limit)*max(enough*c.best.goodput/c.low.goodput, 1))
	}
	return floor
}

// far tells whether the search is still far above the knee. It is not good enough there only when much is missing.
func (c *climb) far() bool { return float64(c.high.limit) > 2*c.floor() }

// slots estimates the server's slots from below: best goodput / goodput of one request in an empty server. The true number is hardly ever more
// than three times as high.
func (c *climb) slots() float64 { return max(c.best.goodput/c.idle, 1) }

// enough tells whether G(level) ≥ 0.975 × best, within one and a half standard errors of both. Far above the knee the share is 0.975² instead.
func (c *climb) enough(at level) bool {
	share := enough - 1.5*math.Hypot(at.err, c.best.err)
	if c.far() {
		share *= enough
	}
	return at.goodput >= share*c.best.goodput
}

// better updates the best goodput with a level that is enough: as a mean weighted by the inverse variances while the best has an error above
// 1.5 %, later by half of an increase, so that the best does not become the luckiest measurement.
func (c *climb) better(at level) {
	b := &c.best
	switch v, w := at.err*at.err, b.err*b.err; {
	case b.goodput == 0, at.goodput > b.goodput*(1+3*math.Hypot(at.err, b.err)):
		*b = at
	case b.err > 0.015 && v+w > 0:
		b.goodput += (at.goodput - b.goodput) * w / (v + w)
		b.err = math.Sqrt(v * w / (v + w))
	case at.goodput > b.goodput:
		b.goodput += (at.goodput - b.goodput) / 2
	}
}
