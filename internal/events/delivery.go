package events

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/backoff"
)

const (
	// window is the number of events that are read and not delivered. While it is full, no further ones are read.
	window = 1000
	// page is the number of events that one look at the outbox reads.
	page = 250
	// parallel is the number of requests in flight to one receiver. Those of one job follow one another.
	parallel = 8
	// A failed event is sent again after leastWait to mostWait, or after the receiver's Retry-After of at most longestWait.
	leastWait, mostWait, longestWait = time.Second, 5 * time.Minute, time.Hour
	// patience is the number of answers that refuse an event, while the receiver takes others, before the event is given up.
	patience = 8
	// keepEvery is the least time between two moves of the cursor, and keepTime the timeout of the last one.
	keepEvery, keepTime = time.Second, 2 * time.Second
	// tellEvery is the least time between two warnings about one receiver.
	tellEvery = 10 * time.Minute
)

// event is a change on its way.
type event struct {
	batholith.Change
	settled bool // delivered, given up, or not wanted
	flies   bool
	due     time.Time // not sent before
	tries   int       // that failed
	waits   *backoff.Waits
	taken   int64 // of the delivery, when the receiver refused it first
	err     error // of the last request
}

// delivery is what this process knows of one receiver. Its methods belong to one goroutine; the requests run beside it.
type delivery struct {
	c      *Courier
	r      *Receiver
	client *http.Client
	ctx    context.Context // of the requests
	cancel func()
	posts  sync.WaitGroup
	done   chan *event // never full: it has room for all requests in flight

	last   int64               // event that was read last
	more   bool                // there may be later ones
	order  []*event            // that are read, from the first that is not settled
	jobs   map[string][]*event // that are not settled, by job, in order
	flying int

	cursor, stored int64 // of the receiver: here, and in the store
	keptAt         time.Time

	taken int64 // events that the receiver has taken
	// After a failure that is the receiver's, one request at a time is sent, and none before rests.
	broken int // such failures in a row
	toldAt time.Time
	told   bool // of this failure
	rests  time.Time
	waits  *backoff.Waits
}

func newDelivery(ctx context.Context, c *Courier, r *Receiver, seq int64) *delivery {
	d := &delivery{c: c, r: r, client: r.client(), done: make(chan *event, parallel), last: seq, more: true, jobs: map[string][]*event{}, cursor: seq, stored: seq}
	d.ctx, d.cancel = context.WithCancel(ctx)
	d.waits = backoff.New(leastWait, mostWait)
	return d
}

// read fills the window.
func (d *delivery) read(ctx context.Context) error {
	for d.more && len(d.order) < window {
		changes, err := d.c.o.Store.Events(ctx, d.last, page)
		if err != nil {
			return err
		}
		d.more = len(changes) == page
		for _, c := range changes {
			e := &event{Change: c, settled: !d.r.Wants(c.Status)}
			d.order, d.last = append(d.order, e), c.Seq
			if !e.settled {
				d.jobs[c.Job] = append(d.jobs[c.Job], e)
			}
		}
	}
	return nil
}

// start sends the events whose turn it is: the first of its job, and due.
func (d *delivery) start() {
	now := time.Now()
	for _, e := range d.order {
		if d.flying >= d.room() || now.Before(d.rests) {
			return
		}
		if !d.waiting(e) || now.Before(e.due) {
			continue
		}
		e.flies = true
		d.flying++
		d.posts.Go(func() {
			e.err = d.c.deliver(d.ctx, d.r, d.client, e.Change)
			d.done <- e
		})
	}
}

// room is the number of requests that may be in flight.
func (d *delivery) room() int {
	if d.broken > 0 {
		return 1
	}
	return parallel
}

// waiting reports whether an event is the next of its job and not in flight.
func (d *delivery) waiting(e *event) bool { return !e.settled && !e.flies && d.jobs[e.Job][0] == e }

// deliver sends one event. An event of a job that was erased meanwhile is dropped.
func (c *Courier) deliver(ctx context.Context, r *Receiver, client *http.Client, change batholith.Change) error {
	job, err := c.o.Store.Find(ctx, change.Job)
	switch {
	case errors.Is(err, batholith.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return r.post(ctx, client, change, job, c.o.Now())
}

// finish takes the result of a request.
func (d *delivery) finish(e *event) {
	e.flies = false
	d.flying--
	if d.ctx.Err() != nil && e.err != nil {
		return // this process ended the request
	}
	if e.err == nil {
		d.taken++
		d.posted(batholith.PostDelivered)
		d.recovered()
		d.settle(e)
		return
	}
	d.posted(batholith.PostFailed)
	now := time.Now()
	if e.tries++; e.tries == 1 {
		e.waits, e.taken = backoff.New(leastWait, mostWait), d.taken
	}
	wait := e.waits.Next()
	if r, ok := errors.AsType[*refusal](e.err); ok {
		wait = max(wait, min(r.after, longestWait))
	}
	e.due = now.Add(wait)
	log := d.c.o.Log.With("receiver", d.r.Name, "job", e.Job, "status", e.Status, "err", e.err)
	if !ofEvent(e.err) {
		d.rests = now.Add(max(d.waits.Next(), min(wait, longestWait)))
		if d.broken++; d.broken == 1 && now.Sub(d.toldAt) >= tellEvery {
			d.told, d.toldAt = true, now
			log.Warn("a receiver of events does not take them; they are sent again until it does", "for_at_most", d.r.MaxAge)
		}
	}
	switch old := d.c.o.Now().Sub(e.At) > d.r.MaxAge; {
	case old:
		log.Error("an event was not taken in time and is given up", "tries", e.tries)
	case ofEvent(e.err) && e.tries >= patience && d.taken > e.taken:
		log.Error("an event is refused while others are taken, and is given up", "tries", e.tries)
	default:
		log.Debug("an event was not taken", "tries", e.tries, "again_in", wait)
		return
	}
	d.posted(batholith.PostGivenUp)
	d.settle(e)
}

// posted tells the listener how a request ended.
func (d *delivery) posted(how batholith.PostOutcome) {
	if f := d.c.o.Listener.Posted; f != nil {
		f(batholith.Posted{Receiver: d.r.Label(), Outcome: how})
	}
}

// recovered notes that the receiver takes events again.
func (d *delivery) recovered() {
	if d.told {
		d.c.o.Log.Info("a receiver takes events again", "receiver", d.r.Name)
	}
	d.told, d.broken, d.rests, d.waits = false, 0, time.Time{}, backoff.New(leastWait, mostWait)
}

// settle removes an event, which is the first of its job.
func (d *delivery) settle(e *event) {
	e.settled = true
	if d.jobs[e.Job] = d.jobs[e.Job][1:]; len(d.jobs[e.Job]) == 0 {
		delete(d.jobs, e.Job)
	}
}

// keep moves the cursor to the event before the first that is not settled, and stores it, at most once in keepEvery.
func (d *delivery) keep(ctx context.Context, now time.Time) error {
	for len(d.order) > 0 && d.order[0].settled {
		d.cursor = d.order[0].Seq
		d.order = d.order[1:]
	}
	if d.cursor == d.stored || now.Sub(d.keptAt) < keepEvery {
		return nil
	}
	if err := d.c.o.Store.PutReceiver(ctx, d.r.Name, d.cursor); err != nil {
		return err
	}
	d.stored, d.keptAt = d.cursor, now
	return nil
}

// due returns a channel that gets a value when the next event is due, or the cursor is to be stored.
func (d *delivery) due() <-chan time.Time {
	var at time.Time
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	if d.cursor != d.stored {
		sooner(d.keptAt.Add(keepEvery))
	}
	if d.flying < d.room() {
		for _, e := range d.order {
			if !d.waiting(e) {
				continue
			}
			t := e.due
			if t.Before(d.rests) {
				t = d.rests
			}
			sooner(t)
		}
	}
	if at.IsZero() {
		return nil
	}
	return time.After(time.Until(at))
}

// close ends the requests in flight, and stores the cursor. What cannot be stored is delivered again.
func (d *delivery) close(ctx context.Context) {
	d.cancel()
	d.posts.Wait()
	for len(d.done) > 0 {
		d.finish(<-d.done)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTime)
	defer cancel()
	if err := d.keep(ctx, time.Now().Add(keepEvery)); err != nil {
		d.c.o.Log.Debug("store the cursor of a receiver", "receiver", d.r.Name, "err", err)
	}
	d.client.CloseIdleConnections()
}
