package limit

import "time"

const (
	cutWindow  = time.Second       // one decrease a window, however many refusals it has
	firstQuiet = 20 * time.Second  // how long a ceiling stays before more is tried,
	lastQuiet  = 320 * time.Second // and at most, after it was found where it was
	riseEvery  = 2 * time.Second   // a ceiling that nothing is refused at rises by 1, 2, 4, …
	// A refusal for so few answers, though the limit was lowered so many times in a row, has another reason than how much was in
	// flight: a server that refuses at random would be left with nothing.
	chance   = 0.1
	patience = 3
)

// ceiling is the memory of back-pressure: how many requests a backend held when it refused others. It knows no more than that a
// refusal happened and what was in flight beside it, and so it finds the bound of a queue at once, whatever was sent too much.
type ceiling struct {
	at    int // the most that may be in flight; 0: nothing was refused yet
	cut   time.Time
	quiet time.Duration
	row   int // decreases without a quiet time between

	answers, refusals int     // since the last decrease
	share             float64 // of refusals among the outcomes of late

	held   int       // the most that was, at the stray refusals of late,
	strays time.Time // the first of which was then
}

// A refusal that is so rare among the last outcomes is a stray one: it says nothing of how much was in flight. Of a server that is full
// the next ones are refused as well.
const (
	lateOutcomes = 64
	strayShare   = 0.06
)

// stray notes a refusal while so many others were held, and tells whether it was a stray one.
func (c *ceiling) stray(now time.Time, others int) bool {
	if now.Sub(c.strays) > cutWindow {
		c.strays, c.held = now, 0
	}
	c.held = max(c.held, others)
	c.share += (1 - c.share) / lateOutcomes
	return c.share < strayShare
}

// refused notes that a request was refused while so many others were held, and tells whether this is a new decrease. The refusals of
// requests that were sent before the last decrease belong to it: when the last of them is back, what is held is what was taken.
func (c *ceiling) refused(now, sent time.Time, others, limit int) bool {
	c.refusals++
	if c.at > 0 && !sent.After(c.cut) {
		c.at = min(c.at, max(others, 1))
		return false
	}
	if c.at > 0 && now.Sub(c.cut) < cutWindow {
		return false
	}
	at := max(1, min(max(others, c.held), limit-1)) // more was held before those that seemed to be stray ones
	since := now.Sub(c.cut)
	if c.row++; c.at == 0 || since >= c.quiet {
		c.row = 1
	}
	if rare := float64(c.refusals) <= chance*float64(c.answers); rare && c.row > patience {
		at = limit + limit/8 + 1
	}
	switch near := at*20 >= c.at*19 && at*20 <= c.at*21; {
	case c.row > 1:
	case near:
		c.quiet = min(2*c.quiet, lastQuiet)
	default:
		c.quiet = firstQuiet
	}
	c.at, c.cut, c.answers, c.refusals = at, now, 0, 0
	return true
}

func (c *ceiling) answered() {
	c.answers++
	c.share -= c.share / lateOutcomes
}

// now is the most that may be in flight: what was taken, and after a quiet time more, slowly at first.
func (c *ceiling) now(now time.Time) int {
	if c.at == 0 {
		return Last
	}
	rising := now.Sub(c.cut) - c.quiet
	if rising < 0 {
		return c.at
	}
	return min(c.at+1<<min(rising/riseEvery, 12), Last)
}

// lift ends the quiet time: there is a sign that the backend takes more by now.
func (c *ceiling) lift(now time.Time) {
	if c.at > 0 && now.Sub(c.cut) < c.quiet {
		c.quiet = now.Sub(c.cut)
	}
}
