package dispatch

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/limit"
	"github.com/batholith/batholith/internal/memory"
)

// lane is one backend and the requests in flight to it, of every queue whose model it serves. It is out until a first probe has succeeded.
//
// Locks: a queue's mutex may be held when l.mu is taken, and never the other way round.
type lane struct {
	d       *Dispatcher
	backend Backend
	limit   *limit.Limiter
	answers *memory.Account
	watcher watcher
	hand    chan errand     // unbuffered; to a sender that is idle
	wake    chan struct{}   // 1-buffered; told whenever a record may have become ready
	last    *dialect.Prompt // of the record that was sent last; only for the goroutine of run
	leaders leaders         // the same
	turn    int             // of the search for records to try; the same
	pausing chan struct{}   // 1-buffered; told when a canary may be due

	paused     atomic.Int32  // classes
	spared     atomic.Uint32 // the spare members that the server refuses, as batholith.Spare
	lastSource atomic.Pointer[batholith.Source]

	running bool // guarded by d.mu

	mu        sync.Mutex
	queues    []*queue
	out       string        // why the backend cannot be used; empty when it can
	unsure    bool          // it is out only to see whether it is there
	doubt     string        // what the backend's list of models says against it
	delay     time.Duration // until the next probe of a backend that is out
	vain      bool          // nothing was answered since a probe last succeeded
	outSince  time.Time
	answered  time.Time  // when the latest request that was answered had begun; zero: none since it was out
	histories []*history // by the id of the class
	broke     *breakage  // the last
	begun     int        // requests ever sent
	beside    float64    // how many requests were in flight when records were answered, of late
	canary    canaries
	retries   credit
	uses      uses
}

// errand is what a lane sends in a slot: a record. A request that somebody waits for may become another.
type errand interface {
	// send makes one request and deals with what comes back, on a goroutine of the lane which holds a slot meanwhile.
	send(l *lane)
	// alone tells that nothing else may be in flight beside it.
	alone() bool
	// recall undoes the taking of an errand that cannot be sent now.
	recall(l *lane)
}

// lane finds or makes the lane of a backend. The caller holds d.mu.
func (d *Dispatcher) lane(b Backend) *lane {
	var key any = b
	if k, ok := b.(interface{ Key() string }); ok {
		key = k.Key()
	}
	l := d.lanes[key]
	if l == nil {
		l = &lane{d: d, backend: b, limit: limit.New(b.MaxInFlight()), answers: d.o.Room.Account(answerFloor),
			hand: make(chan errand), wake: make(chan struct{}, 1), pausing: make(chan struct{}, 1), out: "not asked yet", delay: firstProbe, retries: credit{left: firstCredit}}
		d.lanes[key] = l
	}
	return l
}

// serve adds a queue to those whose records the lane takes. The caller holds d.mu.
func (l *lane) serve(q *queue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queues = append(l.queues, q)
}

// served are the queues whose records the lane takes.
func (l *lane) served() []*queue {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queues[:len(l.queues):len(l.queues)]
}

// run takes errands and has each sent by a goroutine that has nothing else to do, until ctx ends.
func (l *lane) run(ctx context.Context) {
	var beside sync.WaitGroup
	beside.Go(func() { l.observe(ctx) })
	beside.Go(func() { l.canaries(ctx) })
	defer beside.Wait()
	for ctx.Err() == nil {
		if !l.usable() {
			l.probe(ctx)
			continue
		}
		if l.limit.Acquire(ctx) != nil {
			return
		}
		e := l.next(ctx)
		switch {
		case e == nil: // ctx has ended, or the backend is out
			l.limit.Release()
		case e.alone():
			l.sendAlone(ctx, e)
			l.limit.Release()
		default:
			select {
			case l.hand <- e:
			default:
				l.d.wg.Go(func() { l.sender(ctx, e) })
			}
		}
	}
}

// idleSender is how long a sender waits for its next errand.
const idleSender = time.Second

// sender sends an errand, and others after it. It is worth keeping: the stack of a new goroutine has to grow first.
func (l *lane) sender(ctx context.Context, e errand) {
	idle := time.NewTimer(idleSender)
	defer idle.Stop()
	for {
		e.send(l)
		l.limit.Release()
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

// sendAlone lets the lane run dry and sends an errand by itself. It is called on the goroutine of run, which takes nothing meanwhile. What
// that costs the others is charged to the lane's retries.
func (l *lane) sendAlone(ctx context.Context, e errand) {
	began := time.Now()
	if l.limit.Drained(ctx) != nil || !l.usable() {
		e.recall(l)
		return
	}
	e.send(l)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retries.spend(time.Since(began), l.limit.Size())
}

// width is how many requests the backend gets at once, 0 while it cannot be used.
func (l *lane) width() int {
	if !l.usable() {
		return 0
	}
	return l.limit.Size()
}

func (l *lane) usable() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out == ""
}

// takes tells whether records of a class may be sent there now.
func (l *lane) takes(c *class) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out == "" && (l.paused.Load() == 0 || !l.at(c).paused)
}

// wakeUp has the lane look for an errand again.
func (l *lane) wakeUp() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// signal has the lane look for an errand again, and for a canary that may be due.
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

// tell has every queue look whether its jobs wait, and why.
func (l *lane) tell() {
	for _, q := range l.served() {
		q.tell()
	}
}

// halts says why the lane sends no records of a class now; "" if it does. If c is nil it says why the lane sends nothing at all. The text
// follows "Records wait: " in the messages of jobs. An operator reads it too, so it names server and cause, and nothing that a server sent.
func (l *lane) halts(c *class) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.out != "":
		return fmt.Sprintf("model server %s cannot be used (%s)", l.backend, l.out)
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
		return fmt.Sprintf("model server %s refuses records like these, the last %d with the same error (%s)", l.backend, h.alike, why)
	case h.row > 1:
		return fmt.Sprintf("model server %s fails on records like these, %d times in a row (%s)", l.backend, h.row, why)
	}
	return fmt.Sprintf("model server %s fails on records like these (%s)", l.backend, why)
}
