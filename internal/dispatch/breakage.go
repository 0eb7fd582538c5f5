package dispatch

import (
	"time"
)

// breakage is a moment at which connections broke. A single connection may break for any reason. If many of the requests in flight break at
// once, the server may have crashed, perhaps because of one of them.
type breakage struct {
	at       time.Time
	beside   int  // requests in flight before it
	broken   int  // requests among them whose connection broke
	repeated bool // one of them had been in a crash before
}

// oneBreak is the longest time between breaks that belong together. A connection that was opened after the first break does not belong to
// it.
const oneBreak = 100 * time.Millisecond

// shared reports whether the server may have crashed: at least two connections broke, and at least a fifth of those in flight.
func (b *breakage) shared() bool { return b != nil && b.broken >= 2 && b.broken*5 >= b.beside }

// breakOff notes the broken connection of a record. The caller holds l.mu.
func (l *lane) breakOff(it *item, now time.Time) {
	it.broke = l.breaks(it.began, it.sole, now)
	it.broke.repeated = it.broke.repeated || it.crashes > 0
}

// breaks notes a connection that broke, of a request that was sent at began, alone on the lane if sole. The caller holds l.mu.
func (l *lane) breaks(began time.Time, sole bool, now time.Time) *breakage {
	if l.broke == nil || now.Sub(l.broke.at) > oneBreak || !began.Before(l.broke.at) || sole {
		l.broke = &breakage{at: now, beside: l.limit.InFlight() + 1}
	}
	l.broke.broken++
	return l.broke
}
