package dispatch

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/limit"
	"github.com/batholith/batholith/internal/memory"
)

// Bounds of an interactive call. SDKs retry a refused call, so Batholith waits only for a short time.
const (
	callPatience = 30 * time.Second       // from the begin of the call to the begin of its last attempt
	callAttempts = 3                      // the call fails after so many failed attempts
	callReach    = 2 * time.Second        // wait for a server of the model that can be used
	leastQueue   = 64                     // calls that may wait for one server: max(64, 2 × limit)
	callRetry    = 200 * time.Millisecond // wait before the second attempt at the same server; doubled for the third
)

// Interact makes one interactive call, whose client waits for the answer. It takes a slot of one of the serving's backends, ahead of all
// records (package limit, callers.go), and calls do with it. If the attempt fails before the first byte of the answer was passed on, do is
// called again, with another backend if there is one. Canceling ctx cancels the attempt and frees its slot. The lane of the server counts the
// result of the attempt as it does for a record.
//
// The error is
//
//   - a [*batholith.RecordError] if the body cannot be translated, if the model cannot do what it asks for, or if an object that it names cannot be sent,
//   - a [*batholith.MediaError] if such an object cannot be read now,
//   - the [*batholith.Failure] of the last attempt,
//   - batholith.ErrBusy if no slot was free for 30 s, or at once if too many calls wait,
//   - a [*batholith.NotReadyError] if no backend can be used,
//   - batholith.ErrShutdown, or the cause of ctx,
//   - any other error of do.
func (d *Dispatcher) Interact(ctx context.Context, s Serving, r Request, do func(context.Context, *Turn) error) error {
	input := r.Body
	lanes, end, err := d.openCall(ctx, s)
	if err != nil {
		return err
	}
	turns := d.spreadOf(s.Model, lanes)
	defer end()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(d.send, func() { cancel(context.Cause(d.send)) })()
	until := time.Now().Add(callPatience)
	hold, err := d.bodyRoom(ctx, until, input)
	if err != nil {
		return err
	}
	defer hold.Release()
	prompt := dialect.PromptOf(input)
	key := class{path: dialect.PathOf(s.Dialect(s.Backends[0].Protocol()), input), features: prompt.Features, band: bandOf(len(input))}
	named, err := d.named(ctx, until, r)
	if err != nil {
		return err
	}
	defer named.release()
	key.band = bandOf(len(input) + named.bytes())
	c := &call{d: d, serving: s, lanes: lanes, spread: turns, input: named.body, media: named.media, fixed: prompt.Fixed, class: d.classes.of(key), need: need{path: key.path, features: key.features, input: named.body, tokens: new(int64)}, until: until, failed: map[*lane]int{}}
	for {
		l, err := c.place(ctx)
		if err != nil {
			if c.last != nil && ctx.Err() == nil {
				return c.last
			}
			return err
		}
		err = c.attempt(ctx, l, do)
		if c.passedOn(l, err) {
			continue
		}
		if err == nil || !c.again(ctx, l) {
			return err
		}
	}
}

// Request is what an interactive call asks for.
type Request struct {
	Body []byte // must be valid JSON
	// Media returns an object that the body names by its URI, with the rights of the caller, or why the caller may not name it. owner is the
	// account that must own the bucket; "": the caller's. nil: bodies may name no objects.
	Media func(ctx context.Context, uri, owner string) (b blob.Readable, key string, refused *batholith.RecordError)
}

// bodyRoom reserves memory for a long body and for the requests made from it. It waits until the memory is free.
func (d *Dispatcher) bodyRoom(ctx context.Context, until time.Time, input []byte) (*memory.Hold, error) {
	hold := d.asked.Hold()
	if len(input) < longLine {
		return hold, nil
	}
	ctx, cancel := context.WithDeadlineCause(ctx, until, batholith.ErrBusy)
	defer cancel()
	return hold, hold.Reserve(ctx, requestCopies*int64(len(input)))
}

// openCall waits until Run has begun, starts the lanes of a serving and returns them. The caller must call end after its call.
func (d *Dispatcher) openCall(ctx context.Context, s Serving) (lanes []*lane, end func(), err error) {
	started := d.news.next()
	if lanes, end, err = d.lanesFor(s); lanes != nil || err != nil {
		return lanes, end, err
	}
	late := time.NewTimer(callReach)
	defer late.Stop()
	select {
	case <-started:
	case <-late.C:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	if lanes, end, err = d.lanesFor(s); lanes == nil && err == nil {
		err = &batholith.NotReadyError{Why: "the worker is starting"}
	}
	return lanes, end, err
}

// lanesFor is openCall without the wait. Before Run, it returns no lanes and no error.
func (d *Dispatcher) lanesFor(s Serving) (lanes []*lane, end func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.take == nil:
		return nil, nil, nil
	case d.take.Err() != nil:
		return nil, nil, batholith.ErrShutdown
	}
	for _, b := range s.Backends {
		if d.dropped(b) {
			continue // the settings have changed since the caller looked
		}
		l := d.lane(b, s.Model)
		d.launch(l)
		l.host.open()
		lanes = append(lanes, l)
	}
	if len(lanes) == 0 {
		return nil, nil, &batholith.NotReadyError{Why: "its model servers have just been replaced in the settings; repeat the call"}
	}
	d.wg.Add(1)
	return lanes, d.wg.Done, nil
}

// open notes that interactive calls use the server. From now on, a lane that waits for a record holds no slot.
func (h *host) open() {
	if h.called.Load() || !h.called.CompareAndSwap(false, true) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.lanes {
		l.wakeUp()
	}
	h.lanes[0].d.share()
}

// yields reports whether a lane of the server holds no slot while it waits for a record.
func (h *host) yields() bool { return h.called.Load() || h.shared() }

// call is one interactive call.
type call struct {
	d       *Dispatcher
	serving Serving
	lanes   []*lane
	spread  *spread            // nil: no lane has a weight
	input   []byte             // with marks and documents in place of the objects that the body names
	media   []batholith.Medium // that belong in the place of the marks
	fixed   bool               // temperature 0 or a seed: the same request gets the same answer
	class   *class
	need    need
	sent    bool               // something was sent in the last attempt
	barred  []string           // protocols that cannot carry the body
	until   time.Time          // no attempt begins after this time
	failed  map[*lane]int      // failed attempts
	last    error              // error of the last attempt; nil: no attempt has failed
	retry   *batholith.Failure // failure of the last attempt, if the call may be tried again
	wait    time.Duration      // least time before the next attempt on the same lane
}

// place chooses a lane and waits for a slot there.
func (c *call) place(ctx context.Context) (*lane, error) {
	reach := time.NewTimer(callReach)
	defer reach.Stop()
	for {
		news := c.d.news.next()
		if why := c.need.beyond(carrying(c.lanes, c.barred), c.serving.Set); why != nil {
			return nil, why
		}
		l := c.choose()
		if l == nil {
			select {
			case <-news:
				continue
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			case <-reach.C:
				return nil, &batholith.NotReadyError{Why: halts(c.lanes, nil)}
			}
		}
		wait, cancel := context.WithDeadlineCause(ctx, c.until, batholith.ErrBusy)
		err := l.limit.Enter(wait, max(leastQueue, 2*l.limit.Size()))
		cancel()
		switch {
		case err == nil && l.usable():
			l.working.Add(1)
			return l, nil
		case err == nil: // the lane was taken out of use during the wait
			l.limit.Leave()
		case errors.Is(err, limit.ErrFull):
			return nil, batholith.ErrBusy
		case !errors.Is(err, limit.ErrDismissed):
			return nil, err
		}
	}
}

// choose returns the best usable lane for the next attempt, or nil if no lane is usable. It prefers, in this order: the fewest failed attempts
// of this call, a class that is not paused, a free slot, if lanes have weights the first turn (spread.go), and the lowest
// load = (calls + 1) / (limit × weight).
func (c *call) choose() (best *lane) {
	type rank struct {
		failed int
		paused bool
		full   bool
		start  float64
		load   float64
	}
	var least rank
	if c.spread != nil {
		c.spread.mu.Lock()
		defer c.spread.mu.Unlock()
	}
	for _, l := range carrying(c.lanes, c.barred) {
		if !l.usable() || rests(l, c.lanes) || c.need.exceeds(l.abilities(c.serving.Set)) != nil {
			continue
		}
		calls, free := l.limit.Calls()
		r := rank{failed: c.failed[l], paused: !l.takes(c.class), full: free <= 0, load: float64(calls+1) / float64(l.limit.Size()*l.weight())}
		if c.spread != nil && !r.full {
			r.start = c.spread.start(l)
		}
		if best == nil || cmp.Or(cmp.Compare(r.failed, least.failed), order(r.paused, least.paused), order(r.full, least.full), cmp.Compare(r.start, least.start),
			cmp.Compare(r.load, least.load)) < 0 {
			best, least = l, r
		}
	}
	if c.spread != nil && best != nil {
		c.spread.sent(best)
	}
	return best
}

// order compares two booleans; false comes first.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// attempt calls do once, in a slot of the lane that was taken, and frees the slot.
func (c *call) attempt(ctx context.Context, l *lane, do func(context.Context, *Turn) error) error {
	t := &Turn{l: l, call: c, backend: l.backend, dialect: c.serving.Dialect(l.backend.Protocol())}
	defer l.working.Add(-1)
	defer l.limit.Leave()
	defer t.release()
	err := do(ctx, t)
	t.lands()
	t.span.end(t.tokens, err)
	c.retry, c.wait, c.sent = nil, 0, t.asked
	if ctx.Err() != nil { // the call was cancelled: this says nothing about the server
		if err == nil {
			return nil
		}
		return context.Cause(ctx)
	}
	c.last = err
	var f *batholith.Failure
	var unread *batholith.MediaError
	switch {
	case !t.asked, errors.As(err, &unread): // nothing is known of the server
	case err == nil:
		l.answeredCall(t, float64(max(t.tokens.Output, 1)))
	case errors.As(err, &f):
		c.failed[l]++
		c.wait = l.failedCall(t, f)
		if !t.begun && !(t.once && f.Sent) {
			c.retry = f
		}
	default: // the server works, but the model cannot answer this body
		l.answeredCall(t, 0)
	}
	return err
}

// passedOn reports whether a call whose body the lane's protocol cannot carry is left to a lane with another protocol.
func (c *call) passedOn(l *lane, err error) (ok bool) {
	if refused, is := errors.AsType[*batholith.RecordError](err); !is || c.sent || refused.Code != http.StatusBadRequest {
		return false
	}
	c.barred, ok = bar(c.barred, l, c.lanes)
	return ok
}

// again reports whether the call may have another attempt. It waits until the attempt may begin.
func (c *call) again(ctx context.Context, l *lane) bool {
	f, tries := c.retry, 0
	for _, n := range c.failed {
		tries += n
	}
	if f == nil || f.Kind == batholith.FailureBadRecord || tries >= callAttempts {
		return false
	}
	if slices.ContainsFunc(c.lanes, func(m *lane) bool { return m != l && m.usable() && c.failed[m] < c.failed[l] }) {
		return time.Now().Before(c.until)
	}
	wait := max(c.wait, f.RetryAfter, callRetry<<(tries-1))
	switch {
	case f.Kind == batholith.FailureMisconfigured, time.Now().Add(wait).After(c.until):
		return false
	case f.Kind == batholith.FailureUnreachable: // place waits for its next probe
		return true
	}
	select {
	case <-time.After(wait):
		return true
	case <-ctx.Done():
		return false
	}
}

// answeredCall counts an answer to a call. work is its output in tokens; 0 for a refusal, which still shows that the server works.
func (l *lane) answeredCall(t *Turn, work float64) {
	l.limit.Succeeded(t.flight, work)
	l.mu.Lock()
	h := l.at(t.call.class)
	l.worked(t.flight.Sent())
	resumed := h.succeed(t.flight.Sent(), false)
	l.mu.Unlock()
	if resumed {
		l.resumed(h)
	}
}

// failedCall counts a failed attempt of a call, and returns how long the call must wait before its next attempt at this server. A body that
// the server rejects says nothing about the server: a client's mistake must not pause records.
func (l *lane) failedCall(t *Turn, f *batholith.Failure) (wait time.Duration) {
	switch f.Kind {
	case batholith.FailureUnreachable:
		l.takeOut(reason(f))
		return 0
	case batholith.FailureBackPressure:
		wait = l.limit.Refused(t.flight, f.RetryAfter)
	default:
		l.limit.Failed(t.flight)
	}
	now := time.Now()
	l.mu.Lock()
	if f.Kind != batholith.FailureBadRecord {
		l.at(t.call.class).row++
	}
	if f.Crash {
		l.breaks(t.flight.Sent(), t.sole, now)
	}
	l.mu.Unlock()
	if f.Crash && t.sole {
		l.suspect(f, now)
	}
	return wait
}
