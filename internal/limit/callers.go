package limit

import (
	"context"
	"errors"
	"time"
)

// Interactive calls and batch requests share one limit. Calls go first:
//
//	a call may take a slot if             taken < limit
//	a batch request may take a slot if    taken < room
//	room = limit                          if no call is in flight and none has come for 5 minutes
//	room = least                          while a call waits for a slot
//	room = limit                          during a look (see below), or while the number of slots is unknown
//	room = max(slots - spare, least)      otherwise
//	slots = limit - excess                excess: requests that wait in the server's own queue (see excess)
//	least = slots of calls + slots / 10   so batch requests always get a tenth of the slots, at least one (at most the limit)
//
// taken counts the slots of calls and of batch requests. spare is the number of slots that are kept free for calls (need.go). So while calls
// come, the next call finds a free slot, and it does not wait in the server's queue behind batch requests.
//
// The number of slots of a server with gauges may grow. The gauges show this only if requests wait at the server. So once a minute there is
// a look: the room is the limit for at most 1 s, or until two readings of the gauges were made with the limit reached.
const (
	lately     = 5 * time.Minute // after the latest call, slots are kept free for this time
	lookEvery  = time.Minute     // time between two looks
	lookFor    = time.Second     // longest look
	lookEnough = 2               // readings with the limit reached that end a look
	leastPart  = 10              // batch requests always get 1/10 of the slots
)

// ErrFull is the error of Enter if too many calls already wait.
var ErrFull = errors.New("too many interactive calls wait for the model server")

// ErrDismissed is the error of Enter after Dismiss.
var ErrDismissed = errors.New("the model server cannot be used")

// callers is the state of the interactive calls.
type callers struct {
	held    int // slots of calls
	waiting []*caller
	lone    bool // a batch request must be the only request in flight (see Drained), so no call begins
	latest  time.Time
	need    need
	look    time.Time // begin of the present look, or else of the next one
	looked  int       // readings of the present look with the limit reached
}

// caller is one waiting call.
type caller struct {
	wake      chan struct{} // 1-buffered, never closed; gets a value when the call should try again
	dismissed bool
}

// Enter waits for a slot for an interactive call and takes it, ahead of every batch request. Calls get slots in order of arrival. Leave
// returns the slot. Enter returns ErrFull at once if the number of waiting calls has reached most, ErrDismissed after Dismiss, and the cause
// of ctx if ctx ends first.
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

// errTaken is the error of tryEnter if the call must wait.
var errTaken = errors.New("no slot is free")

// tryEnter takes a slot if one is free and the call is the first in the queue. Otherwise it returns errTaken and how long to wait before the
// next try (0: until the call is woken).
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
	limit := l.callsLimit(now)
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

// callsLimit is the number of taken slots below which a call may take one: this worker's share of the limit. Calls do not wait until other
// workers have given way: except with a configured limit they may use the slots of all workers meanwhile.
func (l *Limiter) callsLimit(now time.Time) int {
	limit := l.limit(now)
	if l.source == fromOperator {
		return l.fleet.own(limit)
	}
	return limit
}

// giveUp removes a call from the queue.
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
	l.signal() // if it was the last waiting call, batch requests get more room
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

// Roomy reports whether a batch request could take a slot now.
func (l *Limiter) Roomy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	return !l.gate.closed && l.held+l.rests.now(now) < l.room(now, l.fleet.own(l.limit(now)))
}

// Calls returns the number of interactive calls that are in flight or wait, and the number of slots for further calls:
//
//	free = limit - taken slots - waiting calls
//
// free may be negative.
func (l *Limiter) Calls() (calls, free int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	return l.callers.held + len(l.callers.waiting), l.callsLimit(now) - l.held - l.rests.now(now) - len(l.callers.waiting)
}

// Callers returns the number of interactive calls in flight, and of those that wait for a slot.
func (l *Limiter) Callers() (inFlight, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.callers.held, len(l.callers.waiting)
}

// Reserve is the number of slots that interactive calls need: those in flight, those that wait, and those that are kept free. It is 0 if none
// came lately.
func (l *Limiter) Reserve() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &l.callers
	if !c.recent(l.now()) {
		return 0
	}
	return c.held + len(c.waiting) + c.need.spare
}

// Rejoin lets calls begin again after Drained.
func (l *Limiter) Rejoin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.callers.lone = false
	l.callers.next()
}

// room is the number of taken slots below which a batch request may take one (see the formula above). limit is this worker's share of the limit.
// The caller holds mu.
func (l *Limiter) room(now time.Time, limit int) int {
	c := &l.callers
	if !c.recent(now) {
		return limit
	}
	total := limit
	if !l.fleet.alone() {
		total = l.limit(now)
	}
	excess, known := l.excess(total)
	slots := max(limit-l.fleet.part(excess, total), 1)
	least := min(c.held+max(slots/leastPart, 1), limit)
	switch {
	case len(c.waiting) > 0:
		return least
	case !known || c.looks(now):
		return limit
	}
	return max(slots-c.need.spare, least)
}

// excess is the part of the limit that exceeds the server's slots: requests that wait in its own queue. known is false while the number of
// slots is still searched. Then no slot can be kept free.
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

// recent reports whether a call is in flight or waits, or came in the last 5 minutes.
func (c *callers) recent(now time.Time) bool {
	return c.held > 0 || len(c.waiting) > 0 || !c.latest.IsZero() && now.Sub(c.latest) < lately
}

// looks reports whether a look is in progress. It ends a look that has taken lookFor.
func (c *callers) looks(now time.Time) bool {
	if now.Sub(c.look) >= lookFor {
		c.look, c.looked = now.Add(lookEvery), 0
	}
	return !now.Before(c.look)
}

// reading counts a reading of the gauges; full: with the limit reached. It may end a look.
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

// tell wakes a waiting call. It does not block.
func (c *caller) tell() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
