package dispatch

import (
	"time"
)

// breakage is a moment at which connections broke off. One request's connection may break for any reason; when a good part of what is in
// flight breaks at once, the server may have crashed over one of them.
type breakage struct {
	at       time.Time
	beside   int // requests that were in flight
	broken   int // of them, those that broke off
	repeated bool
}

// oneBreak is how near to one another connections must break to belong together. One that was made after the first of them broke is not of
// them.
const oneBreak = 100 * time.Millisecond

// shared tells whether it took down so many that it may have been the server.
func (b *breakage) shared() bool { return b != nil && b.broken >= 2 && b.broken*5 >= b.beside }

// breakOff notes a connection that broke. The caller holds l.mu.
func (l *lane) breakOff(it *item, now time.Time) {
	if l.broke == nil || now.Sub(l.broke.at) > oneBreak || !it.began.Before(l.broke.at) || it.sole {
		l.broke = &breakage{at: now, beside: l.limit.InFlight() + 1}
	}
	l.broke.broken++
	l.broke.repeated = l.broke.repeated || it.crashes > 0
	it.broke = l.broke
}
