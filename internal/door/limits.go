package door

import "time"

// Limits are the bounds of one listener. Zero fields take the values of [Default].
type Limits struct {
	Open       int   // connections, in all
	Strangers  int   // of them, connections that have not carried a verified request
	PerAddress int   // of the strangers, connections of one address (an IPv6 address counts by its /64 network)
	Bytes      int64 // bytes received of strangers' unfinished requests, all together

	// Multiplexed is what an HTTP/2 connection counts from its preface on, beside the bytes received: a few hundred bytes start as many
	// requests as it may have streams, before any of them is looked at.
	Multiplexed int64

	Idle     time.Duration // for the first byte of a stranger's request; not shorter than clients keep connections that they opened ahead
	Patience time.Duration // from that byte on, for a request to arrive, however short it is
	Rate     int64         // bytes a second that a longer one must reach beyond that
	Longest  time.Duration // for any stranger's request, however long it is
	// Young is the age below which a connection is not closed for a newcomer; the newcomer waits in the kernel's queue instead. It
	// lets a burst of key holders prove themselves one after the other.
	Young time.Duration
}

// The bounds where descriptors are plenty. Connections cost about 10 KiB each until they have sent something.
const (
	mostOpen      = 4096
	mostStrangers = 1024
	fewest        = 4

	strangersBytes = 6 << 20
	multiplexed    = 192 << 10
	idle           = time.Minute
	patience       = 15 * time.Second
	rate           = 16 << 10
	longest        = time.Minute
	young          = 50 * time.Millisecond
)

// Default are the bounds for a process that may open so many descriptors; 0 means that there is no limit. A listener takes an eighth
// of them at most. The rest is left to the database, the journal, objects and model servers.
func Default(descriptors int) Limits {
	open := mostOpen
	if descriptors > 0 {
		open = min(max(descriptors/8, 2*fewest), mostOpen)
	}
	strangers := min(open/2, mostStrangers)
	return Limits{Open: open, Strangers: strangers, PerAddress: max(strangers/2, fewest), Bytes: strangersBytes, Multiplexed: multiplexed,
		Idle: idle, Patience: patience, Rate: rate, Longest: longest, Young: young}
}

// filled is l with the defaults of d in its zero fields.
func (l Limits) filled(d Limits) Limits {
	fill(&l.Open, d.Open)
	fill(&l.Strangers, d.Strangers)
	fill(&l.PerAddress, d.PerAddress)
	fill(&l.Bytes, d.Bytes)
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

// due is how long a stranger may take: for the first byte of a request, or, of which n bytes have arrived, for the request.
func (l Limits) due(n int64) time.Duration {
	if n == 0 {
		return l.Idle
	}
	return min(l.Patience+time.Duration(n)*time.Second/time.Duration(l.Rate), l.Longest)
}
