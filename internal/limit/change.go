package limit

import (
	"math"
	"time"
)

// How a server shows that it has other slots than when its limit was found, as a share of the goodput that it had then.
const (
	plunge = 0.75 // so much less that a few answers show it, and nothing need be tried to be sure
	jump   = 1.06 // more, seen as early
	leap   = 1.15 // so much more that nothing need be tried
	few    = 48   // answers
)

// watch sees whether goodput is still what it was, and looks from time to time whether more is to be had.
func (c *climb) watch(now time.Time, at level, ceiling int) {
	if at.goodput > leap*c.hold.goodput { // what waited before does not wait any more
		c.ascend(now, at, ceiling)
		return
	}
	if at.goodput < worse*c.hold.goodput {
		if c.worse++; c.worse >= 2 || at.goodput < plunge*c.hold.goodput { // fewer slots, or other work: begin again from here
			c.again(now, at)
		}
		return
	}
	c.worse = 0
	if c.grown = at.goodput > grown*c.hold.goodput; c.grown { // what waited before does not wait any more
		c.look = now
	}
	c.hold.goodput += (at.goodput - c.hold.goodput) / 4
	step := lookStep
	if c.grown { // it is likely
		step = smallStep
	}
	if next := int(math.Ceil(float64(c.limit) * step)); !now.Before(c.look) && next <= min(ceiling, Last) {
		c.phase, c.limit = looking, next
	}
}

// changed tells whether the present measurement, though rough, shows that the server has fewer slots than before, or more. Of a server that
// has refused something, only a precise one tells: after the pause that it asked for, nothing waits for a while.
func (c *climb) changed(refused bool) bool {
	if c.w.n < few || refused {
		return false
	}
	goodput, _ := c.w.close()
	margin := 3 * c.w.errorOf()
	switch c.phase {
	case searching:
		return goodput*(1+margin) < c.least(c.limit)
	case looking:
		return goodput*(1-margin) > grown*c.hold.goodput
	}
	return goodput*(1+margin) < plunge*c.hold.goodput || goodput*(1-margin) > jump*c.hold.goodput
}

// least is what a level between the two of a search gives in any case, less what may be an error: goodput rises at most in proportion to
// the limit.
func (c *climb) least(limit int) float64 {
	return plunge * c.best.goodput * min(1, float64(limit)/float64(c.high.limit))
}

// again begins the search anew, from here down.
func (c *climb) again(now time.Time, at level) {
	c.low, c.high, c.best = level{}, at, at
	c.every = firstLook
	c.search(now)
}

// ascend begins again to rise.
func (c *climb) ascend(now time.Time, at level, ceiling int) {
	c.every, c.phase, c.step = firstLook, rising, 1.6
	c.low, c.high, c.best = level{}, level{}, level{} // what was measured of fewer slots tells nothing of more
	c.rise(now, at, ceiling)
}
