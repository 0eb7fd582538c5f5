package dispatch

import (
	"math"
	"time"
)

const (
	firstStep = 4    // factor between the first levels
	smallStep = 1.25 // between those around a limit that is remembered
	probeStep = 1.3  // of a look whether the server has grown

	enough   = 0.97 // share of the best goodput that a limit must reach
	bracket  = 1.07 // the search is over when two levels are so near
	headroom = 1.16 // of the limit over the last level that was too low: more waits than is missing at the moment

	firstLook = 30 * time.Second // between looks whether the server has grown,
	lastLook  = 5 * time.Minute  // and at most, when it has not
)

// phase is what the climb is at.
type phase int

const (
	rising    phase = iota // goodput rises with the limit
	searching              // the knee is between two levels
	holding
	looking // whether a higher limit gives more
)

// level is a limit and the goodput that it gave; goodput 0: not measured.
type level struct {
	limit   int
	goodput float64
}

// climb finds the limit of a backend that says nothing of itself, from the work that comes back. Under continuous batching goodput rises
// with what is in flight until every slot is busy, and then stays; latency rises all the way and tells nothing of the kind. So the limit
// rises as long as goodput does, falls to the lowest level that is good enough, and stays a little above it.
type climb struct {
	limit int
	phase phase
	step  float64
	first window // of the first answers: how fast a request is in an empty server
	low   level  // the highest level that is not enough
	high  level  // the lowest that is
	best  float64
	hold  level // the limit that is held, and its goodput, smoothed
	worse int   // windows in a row with much less than that
	look  time.Time
	every time.Duration
	w     window
}

func newClimb(limit int, step float64) climb {
	c := climb{limit: limit, step: step, every: firstLook}
	c.w.skip = limit
	return c
}

func (c *climb) pass(now time.Time, held, flying int) { c.w.pass(now, held, flying) }

// restart drops what was measured of the present level: it was disturbed. So much is in flight from now on.
func (c *climb) restart(now time.Time, limit int) { c.w.reset(now, min(c.limit, limit)) }

// firstAnswers of a server are hardly ever of requests that had to wait.
const firstAnswers = 8

// answered takes an answer, with the most that may be in flight. After enough of them the limit moves.
func (c *climb) answered(now time.Time, f flight, work float64, ceiling int) {
	c.w.add(now, f.took, work)
	if c.first.n < firstAnswers {
		c.first.count(f.took, work)
	}
	limit := min(c.limit, ceiling)
	least, precision := max(limit, 48), 0.01
	if c.phase == rising {
		least, precision = max(limit/2, 8), 0.05
	}
	if !c.w.sure(least, precision) {
		return
	}
	goodput, held := c.w.close()
	if held < 0.85*float64(limit) { // there was not enough to send
		c.w.reset(now, 0)
		return
	}
	before := c.limit
	c.measured(now, level{limit, goodput}, ceiling)
	c.limit = min(max(c.limit, 1), lastLimit)
	skip := 0
	if c.limit != before {
		skip = max(limit, min(c.limit, ceiling))
	}
	c.w.reset(now, skip)
}

func (c *climb) measured(now time.Time, at level, ceiling int) {
	switch c.phase {
	case rising:
		c.rise(now, at, ceiling)
	case searching:
		if at.goodput >= enough*c.best {
			c.high, c.best = at, max(c.best, at.goodput)
		} else {
			c.low = at
		}
		c.search(now)
	case holding:
		c.watch(now, at, ceiling)
	case looking:
		if at.goodput > 1.04*c.hold.goodput && at.limit > c.hold.limit {
			c.every, c.phase, c.step = firstLook, rising, 2
			c.low, c.high, c.best = c.hold, level{}, c.hold.goodput
			c.rise(now, at, ceiling)
			return
		}
		c.every = min(2*c.every, lastLook)
		c.rest(now)
	}
}

// rise goes up while goodput does.
func (c *climb) rise(now time.Time, at level, ceiling int) {
	if prev := c.high; prev.goodput > 0 || c.low.goodput > 0 {
		if prev.goodput == 0 {
			prev = c.low
		}
		gain, ratio := at.goodput/prev.goodput, float64(at.limit)/float64(prev.limit)
		if gain < 1+0.1*(ratio-1) {
			c.best = max(c.best, at.goodput, prev.goodput)
			if prev.goodput < enough*c.best {
				c.low, c.high = prev, at
			} else {
				c.high = prev
				if c.low.limit >= prev.limit {
					c.low = level{}
				}
			}
			c.search(now)
			return
		}
		c.low = prev
		if gain < 0.55*ratio {
			c.step = min(c.step, 2)
		}
	}
	c.high, c.best = at, max(c.best, at.goodput)
	if at.limit >= min(ceiling, lastLimit) { // it cannot go higher
		c.search(now)
		return
	}
	c.limit = int(math.Ceil(float64(at.limit) * c.stride(at)))
}

// stride is the factor to the next level. Requests that take much longer than in an empty server wait, or soon will: the steps become
// smaller, though it is goodput that says when they end.
func (c *climb) stride(at level) float64 {
	switch share := at.goodput / float64(at.limit) / c.first.rate(); {
	case share < 0.4:
		return min(c.step, 1.5)
	case share < 0.7:
		return min(c.step, 2)
	}
	return c.step
}

// search tries a level between the highest that is not enough and the lowest that is, until they are near.
func (c *climb) search(now time.Time) {
	low, high := float64(c.low.limit), float64(c.high.limit)
	if c.high.limit-c.low.limit <= 1 || high <= bracket*low {
		c.hold = level{max(int(math.Ceil(headroom*low)), c.high.limit), c.best}
		c.rest(now)
		return
	}
	c.phase = searching
	try := 0.6 * high
	if c.low.goodput > 0 {
		// Goodput rises at most in proportion: the knee is not below this.
		try = max(1.1*low*c.best/c.low.goodput, 1.05*low)
	}
	c.limit = min(max(int(math.Ceil(min(try, 0.95*high))), c.low.limit+1), c.high.limit-1)
}

// rest holds the limit that was found.
func (c *climb) rest(now time.Time) {
	c.limit, c.phase, c.worse, c.look = c.hold.limit, holding, 0, now.Add(c.every)
}

// watch sees whether goodput is still what it was, and looks from time to time whether more is to be had.
func (c *climb) watch(now time.Time, at level, ceiling int) {
	if at.limit < c.limit { // below the limit that was found, since the server refused
		c.hold.goodput = at.goodput
		return
	}
	if at.goodput < 0.9*c.hold.goodput {
		if c.worse++; c.worse >= 2 { // fewer slots, or other work: begin again from here
			c.low, c.high, c.best = level{}, at, at.goodput
			c.every = firstLook
			c.search(now)
		}
		return
	}
	c.worse = 0
	if at.goodput > 1.1*c.hold.goodput {
		c.hold.goodput = at.goodput
	}
	c.hold.goodput += (at.goodput - c.hold.goodput) / 4
	if !now.Before(c.look) && ceiling > c.limit {
		c.phase, c.limit = looking, int(math.Ceil(float64(c.limit)*probeStep))
	}
}
