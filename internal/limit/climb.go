package limit

import (
	"math"
	"slices"
	"time"
)

const (
	firstStep = 4    // factor between the first levels
	smallStep = 1.25 // factor between levels near a stored limit
	lookStep  = 1.05 // factor of the higher limit that is tried while one is held

	enough   = 0.975 // share of the best goodput that a limit must reach
	bracket  = 1.07  // ratio of two levels at which the search ends
	worse    = 0.9   // of the goodput before: fewer slots, or other work
	grown    = 1.035 // of the goodput before: the server has more slots
	headroom = 1.14  // limit / knee: a short queue at the server hides gaps between requests

	overfull = 0.45 // share of the rate of a request in an empty server: many wait

	firstLook = 30 * time.Second // first time between two tries of a higher limit
	lastLook  = 5 * time.Minute  // longest time: it doubles after each try without gain
)

// phase is the present step of the climb.
type phase int

const (
	rising    phase = iota // goodput rises with the limit
	searching              // the knee is between two levels
	holding
	looking // whether a higher limit gives more
)

// level is a limit and the goodput measured at it; goodput 0: not measured.
type level struct {
	limit   int
	goodput float64
	err     float64 // standard error of goodput, as a share of it
}

// climb finds the limit of a server without gauges from its goodput G(L): output tokens a second at a limit of L requests. Under continuous
// batching G rises with L until every slot is busy and then stays, while latency rises all the way. So latency alone decides nothing:
//
//	rising     L grows by a factor of 4, later 2 or 1.5, while G(L₂)/G(L₁) ≥ 1 + 0.1 × (L₂/L₁ - 1)
//	searching  the knee is the lowest L with G(L) ≥ 0.975 × the best G; it is searched between the last two levels (knee.go)
//	holding    L = 1.14 × the knee; G is watched (change.go)
//	looking    now and then 1.05 × L is tried, and kept if G rises by 3.5 %
type climb struct {
	limit     int
	phase     phase
	step      float64       // factor to the next level while rising
	first     rates         // of the first answers
	idle      float64       // rate of one request in an empty server: the highest that was measured
	fresh     rates         // of answers to requests that were sent at this level
	late      bool          // fresh holds the later half of them
	strain    float64       // how much longer a token took at the last level than if all requests ran (see slower)
	confirmed bool          // the level was measured again without the requests that came with the rise
	share     float64       // rate of one request / idle, at the last measurement
	before    int           // limit of the level before, while rising
	top       int           // highest level of a search if no level above it was tried
	low       level         // highest level that does not reach 0.975 of the best goodput
	high      level         // lowest level that does
	best      level         // level with the best goodput
	hold      level         // the limit that is held, and its smoothed goodput
	published bool          // the limit follows from published slots, see newPublished
	grown     bool          // the last measurement showed 3.5 % more goodput than before
	untried   bool          // no level above the held one was measured
	worse     int           // measurements in a row with less than 0.9 of hold.goodput
	look      time.Time     // when a higher limit is tried next
	every     time.Duration // between such tries
	measures  int           // number since the last disturbance
	full      int           // a level at which all requests ran, when the search began; 0: none
	w         period

	// Of a worker that shares the server, see fleet.
	part float64       // its share of the limit; 0: all of it
	lag  time.Duration // until all workers use a new limit
	now  time.Time     // of the latest pass
}

// newClimb starts to rise from a limit, with the factor step to the next level.
func newClimb(limit int, step float64) climb {
	c := climb{limit: limit, step: step, every: firstLook}
	c.w.reset(limit, limit)
	return c
}

// mine is this worker's part of n answers of all workers, at least 1.
func (c *climb) mine(n int) int {
	if c.part == 0 || c.part == 1 {
		return n
	}
	return max(int(math.Ceil(c.part*float64(n))), 1)
}

// begun takes in the rate of one request in an empty server, as another worker measured it; 0: it did not.
func (c *climb) begun(idle float64) {
	if idle <= 0 {
		return
	}
	c.idle = max(c.idle, idle)
	c.first = slices.Repeat(rates{c.idle}, firstAnswers)
}

// pass adds the time until now to the measurement, with the slots held and the requests in flight during it.
func (c *climb) pass(now time.Time, held, flying int) {
	c.now = now
	c.w.pass(now, held, flying)
}

// lost takes in a request that ended without an answer.
func (c *climb) lost(f Flight) { c.w.lose(f) }

// restart discards the measurement of the present level, because it was disturbed, and starts a new one at the time until. The limit is at
// most ceiling from now on.
func (c *climb) restart(ceiling int, until time.Time) {
	c.level(min(c.limit, ceiling))
	c.measures = 0
	if until.After(c.w.after) {
		c.w.after = until
	}
}

// level starts the measurement of a level.
func (c *climb) level(limit int) {
	c.w.reset(limit, c.mine(limit))
	c.fresh, c.late, c.confirmed = nil, false, false
	if c.phase == looking { // hardly another level
		c.w.skip = c.mine(limit) / 4
	}
	if c.lag > 0 {
		c.w.after = c.now.Add(c.lag)
	}
}

const (
	firstAnswers = 8    // of an empty server: their requests hardly ever had to wait
	unhindered   = 0.85 // share of their rate: a request at this rate has not waited either
)

// answered takes in an answer. After enough answers it moves the limit. ceiling is the bound from refusals.
func (c *climb) answered(now time.Time, f Flight, work float64, ceiling int) {
	switch ours := c.w.add(now, f, work); {
	case len(c.first) < firstAnswers:
		c.first.add(f, work)
		c.idle = c.first.at(0.5)
	case ours && c.phase == rising:
		c.fresh.add(f, work)
	}
	if c.hurry(ceiling) {
		return
	}
	limit := min(c.limit, ceiling)
	if !c.sure(limit, ceiling < Last) {
		return
	}
	c.measures++
	goodput, held := c.w.close()
	c.share = c.w.rate() / c.idle
	c.idle = max(c.idle, c.w.rate())
	if held < 0.85*float64(limit) { // too few records: the limit was not reached
		c.level(limit)
		return
	}
	err := c.w.errorOf()
	c.w.again(now)
	c.measured(now, level{limit, goodput, err}, ceiling)
	c.limit = min(max(c.limit, 1), Last)
	if next := min(c.limit, ceiling); next != limit {
		c.level(next)
	}
}

// sure reports whether the level has been measured precisely enough. On the way up a standard error of 5 % is enough. In the search it is
// 0.3/slots, within 1 % and 3 %: with few slots one request more or less is a large step. Far above the knee it is twice that, since a long
// queue makes measurements slow.
func (c *climb) sure(limit int, refused bool) bool {
	least := max(c.mine(limit), answersOfLevel)
	precision := min(max(0.3/c.slots(), 0.01), 0.03)
	switch c.phase {
	case rising:
		return c.w.sure(max(c.mine(limit)/2, firstAnswers), 0.05)
	case searching:
		if c.far() {
			return c.w.sure(least, 2*precision)
		}
		if c.changed(refused) {
			return true
		}
		goodput, _ := c.w.close()
		return c.w.sure(least, precision) && (c.w.n >= 4*least || math.Abs(goodput/c.best.goodput-enough) >= 1.5*c.w.errorOf())
	}
	return c.w.sure(least, precision) || c.changed(refused)
}

// hurry leaves a level of the rise early. If 80 % of the requests that this level added have been answered, and most of the later half of them
// at 0.85 of the rate in an empty server or more, they did not wait for a slot, and the next level can be tried. The median decides, since the
// answers of a replica that is ten times as slow as the others are few and take long.
func (c *climb) hurry(ceiling int) bool {
	if c.phase != rising || c.step < smallStep || c.limit >= ceiling {
		return false
	}
	half := max(c.mine(c.limit-c.before)*2/5, firstAnswers)
	if len(c.fresh) < half {
		return false
	}
	if !c.late {
		c.late, c.fresh = true, nil
		return false
	}
	rate := c.fresh.at(0.3)
	c.fresh = nil
	if rate < unhindered*c.idle {
		return false
	}
	c.idle = max(c.idle, rate) // the first answers had to wait for connections
	c.strain = 0
	c.before, c.limit = c.limit, min(int(float64(c.limit)*c.step), Last)
	c.level(min(c.limit, ceiling))
	return true
}

// measured takes in the finished measurement of a level, and chooses the next limit.
func (c *climb) measured(now time.Time, at level, ceiling int) {
	switch c.phase {
	case rising:
		c.rise(now, at, ceiling)
	case searching:
		switch {
		case at.goodput < c.least(at.limit): // fewer slots than when the search began
			c.again(now, at)
			return
		case c.best.goodput > 0 && at.goodput > jump*c.best.goodput*(1+3*math.Hypot(at.err, c.best.err)): // more
			c.ascend(now, at, ceiling)
			return
		}
		if c.enough(at) {
			c.high = at
			c.better(at)
		} else {
			c.low = at
		}
		c.search(now)
	case holding:
		if c.published {
			c.attend(now, at, ceiling)
			return
		}
		c.watch(now, at, ceiling)
	case looking:
		c.untried = false
		if at.goodput < plunge*c.hold.goodput && !c.published { // slots were lost meanwhile
			c.again(now, at)
			return
		}
		if c.gains(at) {
			c.published = false
			c.ascend(now, at, ceiling)
			return
		}
		c.every = min(2*c.every, lastLook)
		c.rest(now)
	}
}

// rise goes up while goodput does. Before a rise ends, its last level is measured again: the requests that were sent as the limit rose came all
// at once, and their prompts waited for one another, so their goodput was too low. Where most of the time goes by in the queue that is no matter.
func (c *climb) rise(now time.Time, at level, ceiling int) {
	up := *c
	if up.risen(now, at, ceiling); up.phase != rising && !c.confirmed && c.share >= overfull {
		c.confirmed = true
		c.w.anew(now, c.w.limit)
		return
	}
	*c = up
}

// risen decides after a level of the rise: the next level, or the search below this one.
func (c *climb) risen(now time.Time, at level, ceiling int) {
	if prev := c.high; prev.goodput > 0 {
		gain, ratio := at.goodput/prev.goodput, float64(at.limit)/float64(prev.limit)
		if gain < 1+0.1*(ratio-1) {
			c.better(at)
			switch { // on the way up, measurements are rough
			case c.strain > 0 && c.strain <= 1.03: // all of the level before ran
				c.low, c.high, c.full = prev, at, prev.limit
			case prev.goodput < 0.9*c.best.goodput:
				c.low, c.high = prev, at
			case prev.goodput >= at.goodput:
				c.high = prev
			default:
				c.high = at
			}
			if c.low.limit >= c.high.limit {
				c.low = level{}
			}
			c.search(now)
			return
		}
		c.low = prev
		if gain < 0.55*ratio {
			c.step = min(c.step, 2)
		}
		if c.strain = c.slower(prev, at); c.strain > 1.25 || c.strain > 1.15 && gain < 0.7*ratio {
			c.high, c.top = at, at.limit
			c.better(at)
			c.search(now)
			return
		}
	}
	c.high = at
	c.better(at)
	if at.limit >= min(ceiling, Last) || c.share < 0.2 || c.share < overfull && c.low.limit == 0 { // no higher, or surely high enough
		c.top = at.limit
		c.search(now)
		return
	}
	c.before = at.limit
	c.limit = int(math.Ceil(float64(at.limit) * c.stride()))
}

// slower is how much longer a token takes at a level than it would if all requests ran. While all of them run, the time t = L/G of a token
// grows at most linearly with L, as extrapolated from the empty server (t₀) and the level before (t₁):
//
//	slower = t₂ / (t₁ + (t₁ - t₀)/(L₁ - L₀) × (L₂ - L₁))
//
// It is 0 if the level before is that of the empty server, so that there is no line. Requests surely wait for slots if it is more than 1.25,
// or more than 1.15 while goodput rose by less than 0.7 of L₂/L₁.
func (c *climb) slower(before, at level) float64 {
	n0, n1, n2 := float64(First), float64(before.limit), float64(at.limit)
	if n1 <= n0 { // the level before is that of the empty server
		return 0
	}
	t0, t1, t2 := 1/c.idle, n1/before.goodput, n2/at.goodput
	return t2 / (t1 + max(t1-t0, 0)/(n1-n0)*(n2-n1))
}

// stride is the factor to the next level: at most 1.25 when a few requests seem to wait, at most 2 when requests take 1/0.7 times as long as
// in an empty server, and 1.5 when they take 1/0.4 times as long, since some of them wait or soon will.
func (c *climb) stride() float64 {
	switch {
	case c.low.limit > 0 && c.strain > 1.07:
		return min(c.step, smallStep)
	case c.share < 0.4:
		return min(c.step, 1.5)
	case c.share < 0.7:
		return min(c.step, 2)
	}
	return c.step
}

// rest holds the limit that the search has found.
func (c *climb) rest(now time.Time) {
	c.limit, c.phase, c.worse, c.look = c.hold.limit, holding, 0, now.Add(c.every)
}
