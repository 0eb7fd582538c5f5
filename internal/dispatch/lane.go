package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/limit"
	"github.com/batholith/batholith/internal/memory"
)

// lane is one backend with its requests in flight, for all queues whose model the backend serves. A new lane is out of use until its first
// probe succeeds.
//
// Locks: l.mu may be taken while a queue's mutex is held, never the other way round.
type lane struct {
	d       *Dispatcher
	backend Backend
	model   string // catalogue id
	host    *host
	limit   *limit.Limiter         // of the host
	answers *memory.Account        // of the host
	reached bool                   // a probe was answered; used by the goroutine of run only
	hand    chan errand            // unbuffered, never closed; to an idle sender
	wake    chan struct{}          // 1-buffered, never closed; gets a value when a record may have become ready
	fronts  [parts]*dialect.Prompt // of the latest record of each part of a window; used by the goroutine of run only
	owed    float64                // records that write, taken too few or (negative) too many; used by the goroutine of run only
	leaders leaders                // used by the goroutine of run only
	doubted string                 // note about the priority that was logged last; used by the goroutine of run only
	turn    int                    // counts searches for trial records; used by the goroutine of run only
	back    time.Time              // since when the lane stands back for one whose turn is first (spread.go); zero: it does not. Used by the goroutine of run only
	pausing chan struct{}          // 1-buffered, never closed; gets a value when a canary may be due

	paused     atomic.Int32                        // number of paused classes
	can        atomic.Pointer[batholith.Abilities] // as the backend says it; nil: it was not asked yet
	spared     atomic.Uint32                       // optional request members that the server refuses, as batholith.Spare
	priority   atomic.Pointer[int64]               // of batch requests in the server's queue; nil: none is sent
	idle       atomic.Bool                         // it waits for a record
	behind     atomic.Bool                         // it stands back
	lastSource atomic.Pointer[batholith.Source]    // of the latest answer; most answers share it
	slotted    atomic.Bool                         // the server says how many slots it has, see queue.mixes

	running bool               // guarded by d.mu
	stop    context.CancelFunc // ends run; guarded by d.mu, nil before run
	after   []*lane            // of the same server, whose run must have ended before that of this one begins; set before run
	ended   chan struct{}      // closed at the end of run
	working atomic.Int64       // slots taken by this lane

	mu        sync.Mutex
	queues    []*queue
	out       string        // why the backend cannot be used; "" if it can
	gone      bool          // the backend is not in the settings any more
	drained   bool          // an operator drains the server
	unsure    bool          // out only until a probe has shown whether the server still answers
	doubt     string        // error of a probe that was answered, such as a model that is not listed; "" if none
	delay     time.Duration // until the next probe while the backend is out
	vain      bool          // no request was answered since the latest successful probe
	outSince  time.Time     // start of the outage; zero: none
	answered  time.Time     // send time of the latest answered request; zero: none since the latest outage
	histories []*history    // by class.id
	broke     *breakage     // latest
	begun     int           // requests ever sent
	beside    float64       // moving average of the requests in flight at an answer
	canary    canaries
	retries   credit
	uses      uses
}

// Unchecked says why a server cannot be used before its first check.
const Unchecked = "its first check has not ended yet"

// errand is the work that a lane does in one slot: sending a record.
type errand interface {
	// send makes one request and handles its result. It runs on a goroutine that holds a slot of the lane.
	send(l *lane)
	// alone reports whether the errand is sent only while nothing else is in flight on the lane.
	alone() bool
	// recall returns an errand that cannot be sent now to its queue.
	recall(l *lane)
}

// lane returns the lane of a backend, and makes it at the first call, for the model with this catalogue id. Backends with equal keys share a
// lane. The caller holds d.mu.
func (d *Dispatcher) lane(b Backend, model string) *lane {
	var key any = b
	if k, ok := b.(interface{ Key() string }); ok {
		key = k.Key()
	}
	l := d.lanes[key]
	if l == nil {
		h := d.host(b)
		l = &lane{d: d, backend: b, model: cmp.Or(model, b.ModelName()), host: h, limit: h.limit, answers: h.answers,
			hand: make(chan errand), ended: make(chan struct{}), wake: make(chan struct{}, 1), pausing: make(chan struct{}, 1), out: Unchecked, delay: firstProbe, retries: credit{left: firstCredit}}
		l.drained = d.drains(b)
		d.lanes[key] = l
		h.join(l)
	}
	return l
}

// serve adds a queue to the lane. The caller holds d.mu.
func (l *lane) serve(q *queue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queues = append(l.queues, q)
}

// unserve removes a queue from the lane. The caller holds d.mu.
func (l *lane) unserve(q *queue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queues = slices.DeleteFunc(slices.Clone(l.queues), func(o *queue) bool { return o == q }) // others may read the old slice
}

// launch starts the lane's goroutine, if it does not run. The caller holds d.mu, and Run has begun.
func (d *Dispatcher) launch(l *lane) {
	if l.running {
		return
	}
	l.running = true
	ctx, stop := context.WithCancel(d.take)
	l.stop = stop
	d.wg.Go(func() {
		defer close(l.ended)
		for _, other := range l.after {
			<-other.ended
		}
		l.run(ctx)
	})
}

// served returns the lane's queues.
func (l *lane) served() []*queue {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queues[:len(l.queues):len(l.queues)]
}

// run takes errands until ctx ends. Each is sent by an idle goroutine, or by a new one if none is idle.
func (l *lane) run(ctx context.Context) {
	var beside sync.WaitGroup
	if l.host.observes(l) {
		beside.Go(func() { l.observe(ctx) })
	}
	beside.Go(func() { l.canaries(ctx) })
	defer beside.Wait()
	for ctx.Err() == nil {
		if l.shut() {
			l.await(ctx, time.Time{})
			continue
		}
		if !l.usable() {
			l.probe(ctx)
			continue
		}
		if l.host.enter(ctx) != nil {
			return
		}
		if l.limit.Acquire(ctx) != nil {
			l.host.leave()
			return
		}
		l.working.Add(1)
		e, due := l.next(ctx)
		switch {
		case e == nil: // ctx has ended, the backend is out of use, or other lanes need the slot
			l.release()
			l.host.leave()
			if l.host.yields() {
				l.await(ctx, due)
			}
		case e.alone(): // no other lane of the server gets a slot meanwhile
			l.sendAlone(ctx, e)
			l.release()
			l.host.leave()
		default:
			l.host.leave()
			select {
			case l.hand <- e:
			default:
				l.d.wg.Go(func() { l.sender(ctx, e) })
			}
		}
	}
}

// idleSender is how long a sender waits for its next errand before it ends.
const idleSender = time.Second

// sender sends an errand and then further ones. Reuse saves the growth of a new goroutine's stack.
func (l *lane) sender(ctx context.Context, e errand) {
	idle := time.NewTimer(idleSender)
	defer idle.Stop()
	for {
		e.send(l)
		l.release()
		idle.Reset(idleSender)
		select {
		case e = <-l.hand:
		case <-idle.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// sendAlone waits until nothing is in flight on the lane, and then sends an errand. It runs on the goroutine of run, so nothing else is
// taken meanwhile. The time of all the lane's slots is spent from the lane's retry credit.
func (l *lane) sendAlone(ctx context.Context, e errand) {
	began := time.Now()
	defer l.limit.Rejoin()
	if l.limit.Drained(ctx) != nil || !l.usable() {
		e.recall(l)
		return
	}
	e.send(l)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retries.spend(time.Since(began), l.limit.Size())
}

// release frees a slot of the lane.
func (l *lane) release() {
	l.limit.Release()
	l.working.Add(-1)
}

// width is the number of requests that the backend may get at once, 0 while it is out of use.
func (l *lane) width() int {
	if !l.usable() {
		return 0
	}
	return l.limit.Size()
}

// usable reports whether the latest probe reached the backend, and nothing took it out of use since.
func (l *lane) usable() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out == "" && !l.closed()
}

// closed reports whether the lane takes no requests whatever the server does. The caller holds l.mu.
func (l *lane) closed() bool { return l.gone || l.drained }

// shut is closed for a caller that does not hold l.mu.
func (l *lane) shut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed()
}

// takes reports whether the lane may send records of a class now.
func (l *lane) takes(c *class) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out == "" && !l.closed() && (l.paused.Load() == 0 || !l.at(c).paused)
}

// wakeUp makes the lane look for an errand again. It does not block.
func (l *lane) wakeUp() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// signal makes the lane look for an errand again, and for due canaries. It does not block.
func (l *lane) signal() {
	l.wakeUp()
	if l.paused.Load() == 0 {
		return
	}
	select {
	case l.pausing <- struct{}{}:
	default:
	}
}

// tell updates the notes of all waiting jobs of the lane.
func (l *lane) tell() {
	for _, q := range l.served() {
		q.tell()
	}
}

// halts says why the lane sends no records of class c now, or "" if it sends them. For a nil class it says why the lane sends nothing. The
// text follows "Records wait: " in a job's note, which users of every tenant may read: it names the server and the cause, and holds no text
// of the server.
func (l *lane) halts(c *class) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.drained:
		return fmt.Sprintf("model server %s is drained (an operator resumes it with: batholith backend resume %s)", l.backend, l.backend)
	case l.out != "":
		return fmt.Sprintf("model server %s cannot be used (%s%s)", l.backend, l.out, l.progress())
	case c == nil || l.paused.Load() == 0 || !l.at(c).paused:
		return ""
	}
	h := l.at(c)
	why := h.why.Reason()
	if l.doubt != "" {
		why += "; " + l.doubt
	}
	switch {
	case h.why.Kind == batholith.FailureBadRecord && h.alike > 1:
		return fmt.Sprintf("model server %s refuses requests of this kind, the last %d with the same error (%s)", l.backend, h.alike, why)
	case h.row > 1:
		return fmt.Sprintf("model server %s fails on requests of this kind, %d times in a row (%s)", l.backend, h.row, why)
	}
	return fmt.Sprintf("model server %s fails on requests of this kind (%s)", l.backend, why)
}
