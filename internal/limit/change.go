package limit

import (
	"math"
	"time"
)

// Shares of the goodput at the time when the limit was found. Beyond them the server's slots have changed.
const (
	plunge = 0.75 // fewer slots: few answers are enough to show it
	jump   = 1.06 // perhaps more slots: few answers are enough to try
	leap   = 1.15 // more slots for certain
	few    = 48   // answers
)

// watch compares goodput with its value when the limit was found, and tries a higher limit from time to time.
func (c *climb) watch(now time.Time, at level, ceiling int) {
	if c.hold.goodput == 0 { // another worker has found the limit
		c.hold.goodput, c.best = at.goodput, at
		return
	}
	if at.goodput > leap*c.hold.goodput { // requests that waited before now run
		c.ascend(now, at, ceiling)
		return
	}
	if at.goodput < worse*c.hold.goodput {
		if c.worse++; c.worse >= 2 || at.goodput*(1+3*at.err) < worse*c.hold.goodput { // fewer slots, or other work: begin again from here
			c.again(now, at)
		}
		return
	}
	c.worse = 0
	if c.grown = at.goodput > grown*c.hold.goodput; c.grown { // requests that waited before may run now
		c.look = now
	}
	c.hold.goodput += (at.goodput - c.hold.goodput) / 4
	step := lookStep
	if c.grown || c.untried { // a higher limit is likely to help, or none near this one was tried
		step = smallStep
	}
	if next := int(math.Ceil(float64(c.limit) * step)); !now.Before(c.look) && next <= min(ceiling, Last) {
		c.phase, c.limit = looking, next
	}
}

// changed reports whether a rough measurement of 48 answers shows, by three standard errors, that the server has fewer slots than before, or more.
// While there is a bound from refusals only a precise measurement tells.
func (c *climb) changed(refused bool) bool {
	if c.w.n < few || refused || c.published {
		return false
	}
	goodput, _ := c.w.close()
	margin := 3 * c.w.errorOf()
	switch c.phase {
	case searching:
		return goodput*(1+margin) < c.least(c.limit)
	case looking:
		return goodput*(1-margin) > grown*c.hold.goodput || goodput*(1+margin) < plunge*c.hold.goodput
	}
	return goodput*(1+margin) < plunge*c.hold.goodput || goodput*(1-margin) > jump*c.hold.goodput
}

// least is the goodput below which a level of the search shows that the server has lost slots: 0.75 of the best, scaled down in proportion to
// the limit.
func (c *climb) least(limit int) float64 {
	return plunge * c.best.goodput * min(1, float64(limit)/float64(c.high.limit))
}

// again begins the search anew, from here down. This level is measured again first, since some of its answers are from before.
func (c *climb) again(now time.Time, at level) {
	c.low, c.high, c.best, c.full = level{}, at, level{}, 0
	c.every, c.phase, c.limit = firstLook, searching, at.limit
	c.w.anew(now, 0)
}

// ascend starts to raise the limit again.
func (c *climb) ascend(now time.Time, at level, ceiling int) {
	c.every, c.phase, c.step = firstLook, rising, 1.6
	c.low, c.high, c.best, c.full, c.strain = level{}, level{}, level{}, 0, 0 // what was measured of fewer slots tells nothing of more
	c.rise(now, at, ceiling)
}
