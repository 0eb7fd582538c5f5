package door

import (
	"net/netip"
	"time"
)

// victim returns the connection to close so that one more of this address fits. full reports
// whether one must be closed at all; if full and c is nil, there is no room. The caller holds
// l.mu.
func (l *Listener) victim(address netip.Addr) (c *Conn, full bool) {
	switch {
	case l.perAddress[address] >= l.limits.PerAddress:
		return l.oldestOf(address), true
	case l.strangers.Len() >= l.limits.Strangers:
		return l.oldestOf(l.crowdedAddress()), true
	case l.strangers.Len()+l.proven.Len() < l.limits.Open:
		return nil, false
	case l.strangers.Len() > 0:
		return l.oldestOf(l.crowdedAddress()), true
	}
	return l.longestIdle(), true
}

// oldestOf returns the oldest stranger of an address, or nil.
func (l *Listener) oldestOf(address netip.Addr) *Conn {
	for e := l.strangers.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*Conn); c.address == address {
			return c
		}
	}
	return nil
}

// crowdedAddress returns the address with the most strangers.
func (l *Listener) crowdedAddress() (address netip.Addr) {
	most := 0
	for a, n := range l.perAddress {
		if n > most {
			address, most = a, n
		}
	}
	return address
}

// longestIdle returns the proven connection that has been idle the longest, or nil if all have
// a request in progress.
func (l *Listener) longestIdle() (found *Conn) {
	for e := l.proven.Front(); e != nil; e = e.Next() {
		c := e.Value.(*Conn)
		if c.idle.Load() && (found == nil || c.rested.Load() < found.rested.Load()) {
			found = c
		}
	}
	return found
}

// heaviest returns the stranger, with or without a claim, that has the largest product of bytes
// held × age of its request, among those that hold at least the average, or nil. So an honest caller's small request is not
// closed for its age when a large one has just come: that would free nearly nothing. The caller
// holds l.mu.
func (l *Listener) heaviest(claims bool) (found *Conn) {
	most, held, n, now := 0.0, 0.0, 0, time.Now()
	for e := l.strangers.Front(); e != nil; e = e.Next() {
		if c := e.Value.(*Conn); c.claims == claims {
			held, n = held+float64(c.received+c.kept), n+1
		}
	}
	average := held / float64(max(n, 1))
	for e := l.strangers.Front(); e != nil; e = e.Next() {
		c := e.Value.(*Conn)
		bytes := float64(c.received + c.kept)
		if weight := bytes * float64(now.Sub(c.since)+time.Millisecond); c.claims == claims && bytes >= average && weight > most {
			found, most = c, weight
		}
	}
	return found
}
