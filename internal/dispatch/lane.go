package dispatch

import (
	"context"
	"errors"
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

	paused     atomic.Int32 // classes
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

// signal has the lane look for an errand again, and for a canary that may be due.
func (l *lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
	if l.paused.Load() == 0 {
		return
	}
	select {
	case l.pausing <- struct{}{}:
	default:
	}
}

// probe asks the backend whether it is there, and waits before the next time when it is not. Everything that speaks HTTP is there: a list of
// models that cannot be had, or lacks the name, is not a reason to send nothing. The first record shows what is true.
func (l *lane) probe(ctx context.Context) {
	err := l.backend.Probe(ctx)
	if ctx.Err() != nil {
		return
	}
	if f, ok := errors.AsType[*batholith.Failure](err); err != nil && (!ok || f.Kind == batholith.FailureUnreachable) {
		l.mu.Lock()
		l.unsure = false
		l.mu.Unlock()
		l.takeOut(reason(err))
		l.wait(ctx)
		return
	}
	l.mu.Lock()
	unsure, vain := l.unsure, l.vain
	l.unsure, l.vain = false, true
	l.mu.Unlock()
	if l.watcher.known && !unsure {
		if vain { // it answers probes and nothing else
			l.wait(ctx)
		}
		l.limit.Retrial()
	}
	l.learn(ctx)
	l.mu.Lock()
	l.out, l.doubt = "", ""
	if err != nil {
		l.doubt = reason(err)
	}
	if !l.outSince.IsZero() && l.broke != nil && l.broke.repeated { // a record that was sent again has taken the server down
		l.retries.spend(time.Since(l.outSince), l.limit.Size())
	}
	l.outSince = time.Time{}
	for _, h := range l.histories { // the canary of a paused class is the first to be sent
		if h != nil && h.paused && !unsure {
			h.turn, h.probe = ownCanary, time.Now()
		}
	}
	l.mu.Unlock()
	for _, q := range l.served() {
		q.admit()
		q.tell()
	}
	l.signal()
}

// wait passes the time until the next probe. It grows by a quarter each time, so that a server which is back is found after at most a quarter
// more than it was away.
func (l *lane) wait(ctx context.Context) {
	l.mu.Lock()
	delay := l.delay
	l.delay = min(l.delay*5/4, lastProbe)
	l.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-time.After(delay):
	}
}

// reason is why a backend cannot be used, in words that the users of every job and the log may have: nothing that a server sent is in
// them, for it may quote another tenant's request. An error that is no Failure is not from a server (see Backend).
func reason(err error) string {
	if f, ok := errors.AsType[*batholith.Failure](err); ok {
		return f.Reason()
	}
	return err.Error()
}

// takeOut stops the use of the backend until a probe reaches it.
func (l *lane) takeOut(why string) {
	l.mu.Lock()
	known := l.out == why
	l.out = why
	if !l.unsure {
		l.answered = time.Time{}
	}
	if l.outSince.IsZero() {
		l.outSince = time.Now()
	}
	l.mu.Unlock()
	if !known {
		l.d.o.Log.Warn("backend cannot be used", "backend", l.backend.String(), "model", l.backend.ModelName(), "why", why)
	}
	l.signal()
	l.tell()
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

// breakage is a moment at which connections broke off. One request's connection may break for any reason; when a good part of what is in
// flight breaks at once, the server may have crashed over one of them.
type breakage struct {
	at       time.Time
	beside   int // requests that were in flight
	broken   int // of them, those that broke off
	repeated bool
}

// oneBreak is how near to one another connections must break to belong together. One that was made after the first of them broke is not of
// them.
const oneBreak = 100 * time.Millisecond

// shared tells whether it took down so many that it may have been the server.
func (b *breakage) shared() bool { return b != nil && b.broken >= 2 && b.broken*5 >= b.beside }

// breakOff notes a connection that broke. The caller holds l.mu.
func (l *lane) breakOff(it *item, now time.Time) {
	if l.broke == nil || now.Sub(l.broke.at) > oneBreak || !it.began.Before(l.broke.at) || it.sole {
		l.broke = &breakage{at: now, beside: l.limit.InFlight() + 1}
	}
	l.broke.broken++
	l.broke.repeated = l.broke.repeated || it.crashes > 0
	it.broke = l.broke
}

// credit is what attempts that are not the first may take from those that are, while there are any: a small share of the slots' time. What
// a record that fails time and again costs the others is bounded by it, whatever it takes to fail.
type credit struct {
	left   time.Duration // of one slot
	flying int           // retries
}

const (
	retryShare  = 0.04
	firstCredit = 5 * time.Second
	mostCredit  = time.Minute     // for each slot
	mostDebt    = -2 * mostCredit // for each slot
)

// earn takes in the time that a first attempt had a slot.
func (c *credit) earn(took time.Duration, slots int) {
	c.left = min(c.left+time.Duration(retryShare*float64(took)), max(firstCredit, mostCredit*time.Duration(slots)))
}

// spend takes in that so many slots were a retry's for so long.
func (c *credit) spend(took time.Duration, slots int) {
	c.left = max(c.left-took*time.Duration(max(slots, 1)), mostDebt*time.Duration(max(slots, 1)))
}

// mayRetry tells whether a retry may go before records that were not tried yet.
func (l *lane) mayRetry() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.retries.left > 0 && l.retries.flying < max(1, l.limit.Size()/20)
}

// crowded tells whether enough retries are in flight that may take the server down.
func (l *lane) crowded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.retries.flying >= max(1, l.limit.Size()/8)
}
