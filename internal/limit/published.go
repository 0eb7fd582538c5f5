package limit

import "time"

// Published slots are where the limit begins, and not where it ends: an address may have several servers behind it, and each publishes its
// own slots only. Without gauges, goodput tells. From time to time the limit is raised by a quarter, and the published number is dropped for
// a search by goodput if that brings half of a quarter:
//
//	goodput raised ≥ (1 + (raised/limit - 1)/2) × goodput before
//
// A lower goodput never lowers the limit: the slots are known, so the work has become heavier. With gauges, a number of running requests
// above the published one shows the same.

// newPublished holds the limit that follows from published slots, and measures goodput at it.
func newPublished(limit int, now time.Time) climb {
	c := newClimb(limit, smallStep)
	c.published, c.phase = true, holding
	c.hold.limit = limit
	c.look = now // the first look follows the first measurement
	return c
}

// newHeld continues at a limit that another worker has found, or else searches from it.
func newHeld(limit int, found, published bool) climb {
	c := newClimb(limit, smallStep)
	if c.published = published; found || published {
		c.phase, c.hold.limit = holding, limit
	}
	return c
}

// attend takes in a measurement at the held limit, and raises it when it is time.
func (c *climb) attend(now time.Time, at level, ceiling int) {
	if c.hold.goodput == 0 {
		c.hold.goodput, c.best = at.goodput, at
		return
	}
	c.hold.goodput += (at.goodput - c.hold.goodput) / 4
	next := min(max(c.limit*5/4, c.limit+1), Last)
	if !now.Before(c.look) && next > c.limit && next <= ceiling {
		c.phase, c.limit = looking, next
	}
}

// gains reports whether a level above the held one brings what shows that there are more slots.
func (c *climb) gains(at level) bool {
	if at.limit <= c.hold.limit {
		return false
	}
	if c.published {
		return at.goodput >= c.hold.goodput*(1+(float64(at.limit)/float64(c.hold.limit)-1)/2)
	}
	return at.goodput > grown*c.hold.goodput
}

// outgrow drops the published number: the server has more slots. The same number is not taken in again.
func (l *Limiter) outgrow() {
	l.hidden, l.source = l.waiting.slots, fromGoodput
	l.waiting.published, l.waiting.slots = false, 0
}
