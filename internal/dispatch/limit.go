package dispatch

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Bounds of what a limiter finds by itself.
const (
	firstLimit = 16
	lastLimit  = 256
	minPause   = 100 * time.Millisecond
	maxPause   = 30 * time.Second
	cutWindow  = time.Second // one decrease a window, however many refusals it has
)

// limiter says how many requests a backend gets at once. With a configured or published number it stays there; otherwise it
// doubles while every slot is used and nothing is refused, and after the first refusal it rises by one and falls by three tenths.
// One goroutine acquires; any goroutine releases.
type limiter struct {
	free chan struct{} // 1-buffered; told when acquire may succeed

	mu       sync.Mutex
	limit    int
	top      int  // limit never exceeds it
	fixed    bool // limit is not to be found
	slow     bool // a refusal was seen: no more doubling
	trial    bool // after an outage: one at a time until one succeeds
	inFlight int
	good     int // successes since the limit last changed
	pause    time.Time
	cut      time.Time // of the last decrease
}

// newLimiter takes the configured number of requests, else the slots that the backend publishes, else it searches.
func newLimiter(configured, slots int) *limiter {
	l := &limiter{free: make(chan struct{}, 1), limit: firstLimit, top: lastLimit}
	switch {
	case configured > 0:
		l.limit, l.top, l.fixed = configured, configured, true
	case slots > 0:
		l.limit = slots + (slots+3)/4 // a quarter more keeps the slots busy while answers travel
		l.top = l.limit
	}
	return l
}

// size is the present limit.
func (l *limiter) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit
}

// acquire waits for a free slot.
func (l *limiter) acquire(ctx context.Context) error {
	for {
		wait, ok := l.try()
		if ok {
			return nil
		}
		var later <-chan time.Time
		if wait > 0 {
			later = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.free:
		case <-later:
		}
	}
}

// try takes a slot, or says how long the backend wants to be left alone (0: until a slot is free).
func (l *limiter) try() (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if wait := time.Until(l.pause); wait > 0 {
		return wait, false
	}
	if l.inFlight >= l.limit || l.trial && l.inFlight > 0 {
		return 0, false
	}
	l.inFlight++
	return 0, true
}

func (l *limiter) signal() {
	select {
	case l.free <- struct{}{}:
	default:
	}
}

// release gives the slot back without saying anything of the backend.
func (l *limiter) release() {
	l.mu.Lock()
	l.inFlight--
	l.mu.Unlock()
	l.signal()
}

// drained waits until the caller's slot is the only one in use. Only the goroutine that acquires may wait for it.
func (l *limiter) drained(ctx context.Context) error {
	for {
		l.mu.Lock()
		n := l.inFlight
		l.mu.Unlock()
		if n <= 1 {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.free:
		}
	}
}

// succeeded notes an answer; after as many as the limit, with every slot in use, the limit rises.
func (l *limiter) succeeded() {
	l.mu.Lock()
	l.trial = false
	l.good++
	if !l.fixed && l.good >= l.limit && l.inFlight >= l.limit && l.limit < l.top {
		l.good = 0
		if l.slow {
			l.limit++
		} else {
			l.limit = min(2*l.limit, l.top)
		}
	}
	l.mu.Unlock()
}

// refused notes back-pressure: nothing is sent for as long as the backend asked, and the limit falls once a window.
func (l *limiter) refused(after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	after = min(max(after, minPause), maxPause)
	until := now.Add(after + time.Duration(rand.Int64N(int64(after)/4+1)))
	if until.After(l.pause) {
		l.pause = until
	}
	if l.fixed || now.Sub(l.cut) < cutWindow {
		return
	}
	l.cut, l.good, l.slow = now, 0, true
	l.limit = max(1, l.limit*7/10)
}

// retrial lets one request through at a time until one succeeds.
func (l *limiter) retrial() {
	l.mu.Lock()
	l.trial = true
	l.mu.Unlock()
	l.signal()
}

// onTrial tells whether no request has succeeded since the last outage.
func (l *limiter) onTrial() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trial
}
