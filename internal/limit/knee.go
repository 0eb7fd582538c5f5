package limit

import (
	"math"
	"time"
)

// answersOfLevel is the least number of answers for one measurement of the search.
const answersOfLevel = 48

// search chooses the next level between low, the highest level below 0.975 of the best goodput, and high, the lowest level above it:
//
//	try = high × (1 - min(0.07 × max(48 / high, 1), 0.2))    or √(floor × high) far above the knee
//
// It ends when high ≤ 1.07 × floor, and holds 1.14 × √(floor × high). It comes from above, since a level that is too low leaves slots
// empty. Levels of a server with few slots are further apart, because it gives answers slowly.
func (c *climb) search(now time.Time) {
	floor, high := c.floor(), float64(c.high.limit)
	if high <= bracket*floor || high-floor <= 1 {
		c.hold = level{max(int(headroom*math.Sqrt(min(floor, high)*high)), c.high.limit), c.best.goodput, c.best.err}
		if c.full > 0 && floor <= float64(c.full) { // the knee is hardly below
			c.hold.limit = c.high.limit
		}
		c.rest(now)
		if c.high.limit == c.top { // no level above was tried
			c.look, c.untried = now, true
		}
		return
	}
	c.phase = searching
	try := high * (1 - min(max(0.07*max(answersOfLevel/high, 1), (high/floor-1)/4), 0.25))
	if c.far() || c.full > 0 && floor <= float64(c.full) {
		try = math.Sqrt(floor * high)
	}
	c.limit = min(max(int(math.Ceil(try)), int(floor)+1), c.high.limit-1)
}

// floor is a lower bound of the knee. Goodput G(L) rises at most in proportion to the limit L, so for each measured level
//
//	knee ≥ L × 0.975 × best / G(L)
func (c *climb) floor() float64 {
	floor := enough * c.slots()
	if c.low.goodput > 0 {
		floor = max(floor, float64(c.low.limit)*max(enough*c.best.goodput/c.low.goodput, 1))
	}
	return floor
}

// far reports whether the search is still far above the knee: high > 2 × floor. Rough measurements are enough there.
func (c *climb) far() bool { return float64(c.high.limit) > 2*c.floor() }

// slots is a lower estimate of the server's slots: best goodput / goodput of one request in an empty server. The true number is hardly ever
// more than three times as high.
func (c *climb) slots() float64 { return max(c.best.goodput/c.idle, 1) }

// enough reports whether G(level) ≥ 0.975 × best, within 1.5 standard errors of both. Far above the knee the factor is 0.975².
func (c *climb) enough(at level) bool {
	share := enough - 1.5*math.Hypot(at.err, c.best.err)
	if c.far() {
		share *= enough
	}
	return at.goodput >= share*c.best.goodput
}

// better updates the best goodput with a level that is enough. While the best has a standard error above 1.5 %, it becomes the mean of
// both, weighted by the inverse variances. Later it rises by half of an increase, so that one lucky measurement does not set it.
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
