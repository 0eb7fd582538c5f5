package dispatch

import (
	"time"
)

// credit bounds the slot time that retries may take from first attempts, while there are any. First attempts earn it and retries spend it:
//
//	credit += 0.04 × slot time of a first attempt    (at most 1 minute per slot)
//	credit -= slot time of a retry                   (at least -2 minutes per slot)
//
// A retry may go before first attempts only while credit > 0. So records that fail again and again cost the others about 4 % of the slots.
type credit struct {
	left   time.Duration // slot time; negative: debt
	flying int           // retries in flight
}

const (
	retryShare  = 0.04 // of the slot time of first attempts
	firstCredit = 5 * time.Second
	mostCredit  = time.Minute     // for each slot
	mostDebt    = -2 * mostCredit // for each slot
)

// earn adds the share of a first attempt that held a slot for the time took.
func (c *credit) earn(took time.Duration, slots int) {
	c.left = min(c.left+time.Duration(retryShare*float64(took)), max(firstCredit, mostCredit*time.Duration(slots)))
}

// spend subtracts took for each of the slots that a retry kept from other records.
func (c *credit) spend(took time.Duration, slots int) {
	c.left = max(c.left-took*time.Duration(max(slots, 1)), mostDebt*time.Duration(max(slots, 1)))
}

// mayRetry reports whether a retry may go before records that were never sent: there is credit, and under 5 % of the slots have retries in
// flight.
func (l *lane) mayRetry() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.retries.left > 0 && l.retries.flying < max(1, l.limit.Size()/20)
}

// crowded reports whether retries fill an eighth of the slots. Records that may crash the server then wait.
func (l *lane) crowded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.retries.flying >= max(1, l.limit.Size()/8)
}
