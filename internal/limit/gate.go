package limit

import "time"

// gate is closed while a server refuses everything: a quota is used up, or the server starts or is about to stop. It closes at the third refusal in
// a row of requests that were sent after the last answer, when nothing is in flight and no answer came for the time of an answer. Then
// one request at a time is sent, after the time that the server asked for (at most 30 s), or after pauses that double up to 2 s. The limit
// does not change meanwhile: how much was in flight had nothing to do with it.
type gate struct {
	closed bool
	since  time.Time // when it was closed
	until  time.Time // nothing is sent before
	repeat time.Duration
	row    int // refusals since the last answer
	probe  probe
	sent   time.Time // of the probe
}

// probe is where the one request is that is sent through a closed gate.
type probe int

const (
	noProbe probe = iota
	slotTaken
	probeSent
)

const (
	minPause   = 50 * time.Millisecond
	maxPause   = 30 * time.Second // whatever a server asks for
	lastRepeat = 2 * time.Second  // the longest pause between requests to a server that refuses all and does not say for how long
	allRow     = 3                // refusals in a row with nothing in flight beside them
)

// refused notes a refusal, and tells whether the gate has just been closed by it. The wait is what the server asked for, rest how
// long one slot rests after a refusal.
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

// pause sets until when nothing is sent: for as long as the server asked, or twice as long as the last time, and the jitter.
func (g *gate) pause(now time.Time, wait, rest time.Duration, jitter func(time.Duration) time.Duration) {
	g.repeat = min(max(2*g.repeat, rest), lastRepeat)
	if wait == 0 {
		wait = g.repeat
	}
	wait = min(wait, maxPause)
	g.until = now.Add(wait + jitter(wait))
}

// try tells whether a request may go through a closed gate, or how long it is to wait. A probe that is not refused for so long opens the gate.
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

func (g *gate) open() { g.closed, g.row, g.probe = false, 0, noProbe }

// answered notes that a request was taken; one that was sent through the closed gate opens it.
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
