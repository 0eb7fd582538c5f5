package dispatch

import (
	"time"
)

// credit is what attempts that are not the first may take from those that are, while there are any: a small share of the slots' time. What
// a record that fails time and again costs the others is bounded by it, whatever it takes to fail.
type credit struct {
	left   time.Duration // of one slot
	flying int           // retries
}

const (
	retryShare  = 0.04
	firstCredit = 5 * time.Second
	mostCredit  = time.Minute     // for each slot
	mostDebt    = -2 * mostCredit // for each slot
)

// earn takes in the time that a first attempt had a slot.
func (c *credit) earn(took time.Duration, slots int) {
	c.left = min(c.left+time.Duration(retryShare*float64(took)), max(firstCredit, mostCredit*time.Duration(slots)))
}

// spend takes in that so many slots were a retry's for so long.
func (c *credit) spend(took time.Duration, slots int) {
	c.left = max(c.left-took*time.Duration(max(slots, 1)), mostDebt*time.Duration(max(slots, 1)))
}

// mayRetry tells whether a retry may go before records that were not tried yet.
func (l *lane) mayRetry() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.retries.left > 0 && l.retries.flying < max(1, l.limit.Size()/20)
}

// crowded tells whether enough retries are in flight that may take the server down.
func (l *lane) crowded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.retries.flying >= max(1, l.limit.Size()/8)
}
