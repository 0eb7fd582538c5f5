package limit

import "time"

// gate is closed while a server refuses everything: a quota is used up, or the server is starting or stopping. It closes at the third refusal in
// a row of requests sent after the last answer, if nothing is in flight and there was no answer for the usual time of an answer. While it
// is closed, one request (the probe) is sent at a time, after the server's Retry-After (at most 30 s) or after pauses that double up to
// 2 s. An answered probe opens the gate. The limit does not change meanwhile, since these refusals do not depend on the number in flight.
type gate struct {
	closed bool
	since  time.Time     // when it closed
	until  time.Time     // no probe is sent before
	repeat time.Duration // latest pause without a Retry-After
	row    int           // refusals since the last answer
	probe  probe
	sent   time.Time // send time of the probe
}

// probe is the state of the one request that may pass a closed gate.
type probe int

const (
	noProbe probe = iota
	slotTaken
	probeSent
)

const (
	minPause   = 50 * time.Millisecond
	maxPause   = 30 * time.Second // longest Retry-After that is obeyed
	lastRepeat = 2 * time.Second  // longest pause without a Retry-After
	allRow     = 3                // refusals in a row with nothing in flight beside them
)

// refused takes in a refusal, and reports whether it has closed the gate. wait is the server's Retry-After, rest the time that a slot stays
// empty after a refusal. old: requests sent later were answered. idle: nothing is in flight and no answer came lately.
func (g *gate) refused(now time.Time, f Flight, wait, rest time.Duration, old, idle bool, jitter func(time.Duration) time.Duration) bool {
	if g.closed {
		if g.probe == probeSent && f.probe {
			g.probe = noProbe
			g.pause(now, wait, rest, jitter)
		}
		return false
	}
	if !old {
		g.row++
	}
	if !idle || g.row < allRow {
		return false
	}
	g.closed, g.since, g.probe = true, now, noProbe
	g.pause(now, wait, rest, jitter)
	return true
}

// pause sets the time of the next probe: after the server's Retry-After, or after twice the latest pause, plus jitter.
func (g *gate) pause(now time.Time, wait, rest time.Duration, jitter func(time.Duration) time.Duration) {
	g.repeat = min(max(2*g.repeat, rest), lastRepeat)
	if wait == 0 {
		wait = g.repeat
	}
	wait = min(wait, maxPause)
	g.until = now.Add(wait + jitter(wait))
}

// try reports whether a probe may be sent now. If not, wait is the time until the next call makes sense (0: until something changes). A
// probe that is not refused within grace opens the gate.
func (g *gate) try(now time.Time, grace time.Duration) (wait time.Duration, ok bool) {
	switch {
	case now.Before(g.until):
		return g.until.Sub(now), false
	case g.probe == noProbe:
		g.probe = slotTaken
		return 0, true
	case g.probe == probeSent && now.Sub(g.sent) >= grace:
		g.open()
		return 0, false
	case g.probe == probeSent:
		return g.sent.Add(grace).Sub(now), false
	}
	return 0, false
}

// open lets requests through again.
func (g *gate) open() { g.closed, g.row, g.probe = false, 0, noProbe }

// answered takes in a request that the server did not refuse. If it was the probe, the gate opens, and answered returns true.
func (g *gate) answered(f Flight) (opened bool) {
	if g.row = 0; g.closed && f.probe {
		g.open()
		opened = true
	}
	if !g.closed && f.sent.After(g.since) {
		g.repeat = 0
	}
	return opened
}
