package door

import "time"

// Limits are the limits of one listener. Zero fields take the values of [Default].
type Limits struct {
	Open       int   // connections in total
	Strangers  int   // of these, connections without an authenticated request yet
	PerAddress int   // strangers of one address (of one /64 network for IPv6)
	Bytes      int64 // bytes received of unfinished requests, all strangers together
	Claimed    int64 // the same for strangers whose request names a known key (see Conn.Claim), apart from the others

	// Multiplexed is added to the bytes of an HTTP/2 connection after its preface: a few
	// hundred bytes can open all its streams before any request is looked at.
	Multiplexed int64

	Idle     time.Duration // wait for the first byte of a stranger's request; not shorter than clients keep connections that they opened in advance
	Patience time.Duration // from the first byte, time for a request of any size to arrive
	Rate     int64         // bytes per second that a longer request must reach beyond Patience
	Longest  time.Duration // maximum for any stranger's request
	// Young is the age below which a connection is not closed for a newcomer; the newcomer
	// waits in the kernel's queue instead. So a burst of key holders can authenticate one after
	// the other.
	Young time.Duration
}

// Limits for a process with many file descriptors. A connection costs about 10 KiB until it has
// sent something, and about 40 KiB once it has a TLS session.
const (
	mostOpen      = 4096
	mostStrangers = 1024
	fewest        = 4

	strangersBytes = 6 << 20
	claimedBytes   = 64 << 20 // two of the longest bodies of an interactive call
	multiplexed    = 192 << 10
	idle           = time.Minute
	patience       = 15 * time.Second
	rate           = 16 << 10
	longest        = time.Minute
	young          = 50 * time.Millisecond
)

// Default returns the limits for a process that may open so many file descriptors; 0:
// unlimited. A listener uses at most an eighth of them. The rest is for the database, the
// journal, objects and model servers.
func Default(descriptors int) Limits {
	open := mostOpen
	if descriptors > 0 {
		open = min(max(descriptors/8, 2*fewest), mostOpen)
	}
	strangers := min(open/2, mostStrangers)
	return Limits{Open: open, Strangers: strangers, PerAddress: max(strangers/2, fewest), Bytes: strangersBytes, Claimed: claimedBytes, Multiplexed: multiplexed,
		Idle: idle, Patience: patience, Rate: rate, Longest: longest, Young: young}
}

// filled returns l with the values of d in its zero fields.
func (l Limits) filled(d Limits) Limits {
	fill(&l.Open, d.Open)
	fill(&l.Strangers, d.Strangers)
	fill(&l.PerAddress, d.PerAddress)
	fill(&l.Bytes, d.Bytes)
	fill(&l.Claimed, d.Claimed)
	fill(&l.Multiplexed, d.Multiplexed)
	fill(&l.Idle, d.Idle)
	fill(&l.Patience, d.Patience)
	fill(&l.Rate, d.Rate)
	fill(&l.Longest, d.Longest)
	fill(&l.Young, d.Young)
	return l
}

func fill[T comparable](to *T, value T) {
	var zero T
	if *to == zero {
		*to = value
	}
}

// due returns the time that a stranger has: Idle for the first byte; min(Patience + n/Rate,
// Longest) for a request of which n bytes have arrived.
func (l Limits) due(n int64) time.Duration {
	if n == 0 {
		return l.Idle
	}
	return min(l.Patience+time.Duration(n)*time.Second/time.Duration(l.Rate), l.Longest)
}
