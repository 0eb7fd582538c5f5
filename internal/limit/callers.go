package limit

import (
	"context"
	"errors"
	"time"
)

// Interactive calls take slots of the same limit as batch requests, and go ahead of them:
//
//	a call may take a slot if           held < limit
//	a batch request may take one if     held < room, and no call waits
//	room  = free of queues - spare      while calls come (see spare), else the limit
//	free of queues = the limit without the requests that are to wait at the server (see excess)
//
// held counts the slots of both. So while calls come, a slot at the server is free for the next call, and it never waits in the server's
// queue behind batch requests. Whatever calls come, batch requests may hold a tenth of the slots, at least one.
//
// A server with gauges may get more slots meanwhile, which shows only if requests wait there. So once a minute the room is the limit until two
// readings have seen it reached, for at most 1 s: a look.
const (
	lately     = 5 * time.Minute // slots stay spare so long after the latest call
	lookEvery  = time.Minute     // between two looks
	lookFor    = time.Second
	lookEnough = 2  // readings
	leastPart  = 10 // batch requests may hold 1/10 of the slots
)

// ErrFull is the error of Enter if too many calls wait.
var ErrFull = errors.New("too many interactive calls wait for the model server")

// ErrDismissed is the error of Enter after Dismiss.
var ErrDismissed = errors.New("the model server cannot be used")

// callers is the state of the interactive calls.
type callers struct {
	held    int // slots of calls
	waiting []*caller
	lone    bool // a batch request is to be the only one in flight (see Drained): no call begins
	latest  time.Time
	need    need
	look    time.Time // when the next look begins, or when the present one began
	looked  int       // readings in the present look that saw the limit reached
}

// caller is one waiting call.
type caller struct {
	wake      chan struct{} // 1-buffered, never closed; gets a value when the call may be the next
	dismissed bool
}

// Enter waits for a slot for an interactive call and takes it, ahead of every batch request. Calls get slots in the order in which they came.
// The slot is given back with Leave. It returns ErrFull at once if most calls wait already, ErrDismissed after Dismiss, and the cause of ctx if
// that ends first.
func (l *Limiter) Enter(ctx context.Context, most int) error {
	c := &caller{wake: make(chan struct{}, 1)}
	l.mu.Lock()
	if len(l.callers.waiting) >= most {
		l.mu.Unlock()
		return ErrFull
	}
	l.callers.came(l.now())
	l.callers.waiting = append(l.callers.waiting, c)
	l.mu.Unlock()
	for {
		wait, err := l.tryEnter(c)
		if err == nil || !errors.Is(err, errTaken) {
			return err
		}
		var later <-chan time.Time
		if wait > 0 {
			later = time.After(wait)
		}
		select {
		case <-ctx.Done():
			l.giveUp(c)
			return context.Cause(ctx)
		case <-c.wake:
		case <-later:
		}
	}
}

// errTaken tells that the call must wait.
var errTaken = errors.New("no slot is free")

// tryEnter takes a slot for the call if it is the first one that waits, and a slot is free. Else it returns errTaken and when to try again (0:
// when the call is woken).
func (l *Limiter) tryEnter(c *caller) (time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case c.dismissed:
		return 0, ErrDismissed
	case l.callers.waiting[0] != c || l.callers.lone:
		return 0, errTaken
	}
	now := l.now()
	limit := l.limit(now)
	taken := l.held + l.rests.now(now)
	switch {
	case l.gate.closed:
		wait, ok := l.gate.try(now, l.grace())
		if !ok && l.gate.closed {
			return wait, errTaken
		}
		if !ok {
			l.opened(now)
			return time.Microsecond, errTaken
		}
	case taken >= limit:
		return l.rests.next(now), errTaken
	}
	l.take(now)
	l.callers.held++
	l.callers.waiting = l.callers.waiting[1:]
	l.callers.next()
	return 0, nil
}

// giveUp removes a call that waits no longer.
func (l *Limiter) giveUp(c *caller) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, other := range l.callers.waiting {
		if other == c {
			l.callers.waiting = append(l.callers.waiting[:i:i], l.callers.waiting[i+1:]...)
			break
		}
	}
	l.callers.next()
	l.signal() // batch requests may go if it was the last one
}

// Leave frees the slot of a call.
func (l *Limiter) Leave() {
	l.mu.Lock()
	l.callers.held--
	l.mu.Unlock()
	l.Release()
}

// Dismiss ends the wait of all calls with ErrDismissed, because the server cannot be used.
func (l *Limiter) Dismiss() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.callers.waiting {
		c.dismissed = true
		c.tell()
	}
	l.callers.waiting = nil
	l.signal()
}

// Calls returns how many interactive calls are in flight or wait, and how many slots they could have now: the limit without the slots that
// are taken. It is negative if more are taken than the limit.
func (l *Limiter) Calls() (calls, free int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	return l.callers.held + len(l.callers.waiting), l.limit(now) - l.held - l.rests.now(now) - len(l.callers.waiting)
}

// Rejoin ends the time after Drained in which no call begins.
func (l *Limiter) Rejoin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.callers.lone = false
	l.callers.next()
}

// room is how many slots may be taken when a batch request takes one more: fewer than limit while calls come. The caller holds mu.
func (l *Limiter) room(now time.Time, limit int) int {
	c := &l.callers
	if !c.recent(now) {
		return limit
	}
	excess, known := l.excess(limit)
	slots := max(limit-excess, 1)
	least := min(c.held+max(slots/leastPart, 1), limit)
	switch {
	case len(c.waiting) > 0:
		return least
	case !known || c.looks(now):
		return limit
	}
	return max(slots-c.need.spare, least)
}

// excess is how many requests of the limit are to wait at the server. known is false while the slots are still searched: then no slot can
// be kept free.
func (l *Limiter) excess(limit int) (n int, known bool) {
	switch {
	case l.trial:
		return 0, false
	case l.source == fromOperator:
		return 0, true
	case l.source == fromGoodput:
		n, known = limit-int(float64(limit)/headroom), l.climb.phase >= holding
	default:
		n, known = l.waiting.queue()+l.audit.bonus, l.waiting.slots > 0
	}
	found := l.climb.limit
	if l.source != fromGoodput {
		found = l.waiting.limit + l.audit.bonus
	}
	return max(n-max(found-limit, 0), 0), known // refusals may have lowered the limit below the queue
}

// came notes that a call arrives.
func (c *callers) came(now time.Time) {
	if !c.recent(now) {
		c.look, c.need = now.Add(lookEvery), need{}
	}
	c.latest = now
	c.need.came(now)
}

// recent reports whether calls came lately.
func (c *callers) recent(now time.Time) bool {
	return c.held > 0 || len(c.waiting) > 0 || !c.latest.IsZero() && now.Sub(c.latest) < lately
}

// looks reports whether the room is the limit now, to look for more slots.
func (c *callers) looks(now time.Time) bool {
	if now.Sub(c.look) >= lookFor {
		c.look, c.looked = now.Add(lookEvery), 0
	}
	return !now.Before(c.look)
}

// reading notes a reading of the gauges, with the limit reached if full. It may end a look.
func (c *callers) reading(now time.Time, full bool) {
	if !full || now.Before(c.look) {
		return
	}
	if c.looked++; c.looked == lookEnough {
		c.look, c.looked = now.Add(lookEvery), 0
	}
}

// next wakes the first waiting call.
func (c *callers) next() {
	if len(c.waiting) > 0 {
		c.waiting[0].tell()
	}
}

// tell wakes a call. It does not block.
func (c *caller) tell() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
