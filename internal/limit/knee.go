package limit

import (
	"math"
	"time"
)

// answersOfLevel is how many answers it takes, at least, to measure a level of the search. A server of fewer slots gives them slowly, and
// takes larger steps.
const answersOfLevel = 48

// search tries a level between the highest that is not enough and the lowest that is, until they are near. What is too low leaves slots
// empty, so it comes from above.
func (c *climb) search(now time.Time) {
	floor, high := c.floor(), float64(c.high.limit)
	if high <= bracket*floor || high-floor <= 1 {
		c.hold = level{max(int(headroom*math.Sqrt(min(floor, high)*high)), c.high.limit), c.best.goodput, c.best.err}
		c.rest(now)
		if c.high.limit == c.top { // what is above was not tried
			c.look = now
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

// floor is what the knee is not below: goodput rises at most in proportion to the limit.
func (c *climb) floor() float64 {
	floor := enough * c.slots()
	if c.low.goodput > 0 {
		floor = max(floor, float64(c.low.limit)*max(enough*c.best.goodput/c.low.goodput, 1))
	}
	return floor
}

// far tells whether the search is still far above the knee. It is not good enough there only when much is missing.
func (c *climb) far() bool { return float64(c.high.limit) > 2*c.floor() }

// slots is how many requests at the speed of an empty server would do the work of the best level: there are no fewer slots, and hardly
// ever more than three times as many.
func (c *climb) slots() float64 { return max(c.best.goodput/c.idle, 1) }

// enough tells whether a level gives nearly the best goodput, as far as both are known: far above the knee it is not enough only when much
// is missing.
func (c *climb) enough(at level) bool {
	share := enough - 1.5*math.Hypot(at.err, c.best.err)
	if c.far() {
		share *= enough
	}
	return at.goodput >= share*c.best.goodput
}

// better takes a level that is enough into what is the best: by the weights of their errors while the best is not known well, and then
// only half of what is more, so that it does not become the luckiest measurement.
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
