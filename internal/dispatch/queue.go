package dispatch

import (
	"context"
	"slices"
	"sync"
	"time"
)

// queue is one model's line of jobs: those that wait for their turn, and those that are open, whose records the lanes take in turn.
type queue struct {
	d     *Dispatcher
	model string
	lanes []*lane

	mu      sync.Mutex
	waiting []*feed       // in the order of Enqueue
	open    []*feed       // at most Options.Open
	turn    int           // index in open of the feed to ask first
	changed chan struct{} // closed, and replaced, whenever a record may have become ready
}

func newQueue(d *Dispatcher, s Serving) *queue {
	q := &queue{d: d, model: s.Model, changed: make(chan struct{})}
	for _, b := range s.Backends {
		q.lanes = append(q.lanes, newLane(q, b))
	}
	return q
}

// enqueue puts f at the end of the line. The caller holds d.mu.
func (q *queue) enqueue(f *feed) {
	q.mu.Lock()
	q.waiting = append(q.waiting, f)
	q.mu.Unlock()
	if q.d.take != nil {
		q.admit()
	}
}

// admit opens jobs while there is room for them and a backend that can be used. A job stays Scheduled until then.
func (q *queue) admit() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) > 0 && len(q.open) < q.d.o.Open && q.usable() && q.d.take.Err() == nil {
		f := q.waiting[0]
		q.waiting = q.waiting[1:]
		q.open = append(q.open, f)
		f.opened = true
		q.d.wg.Go(f.run)
	}
}

func (q *queue) usable() bool {
	return slices.ContainsFunc(q.lanes, func(l *lane) bool { return l.usable() })
}

// remove takes f out of the line, and lets go of its records that are not in flight. A feed that was never opened ends here.
func (q *queue) remove(f *feed) {
	q.mu.Lock()
	q.waiting = slices.DeleteFunc(q.waiting, func(g *feed) bool { return g == f })
	q.open = slices.DeleteFunc(q.open, func(g *feed) bool { return g == f })
	f.letGo()
	never := !f.opened
	f.opened = true
	q.mu.Unlock()
	if never {
		f.end()
	}
}

func (q *queue) position(f *feed) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Index(q.waiting, f) + 1
}

// next waits for a record and hands it out; it is in flight from then on.
func (q *queue) next(ctx context.Context) (*item, error) {
	for {
		q.mu.Lock()
		it, wait := q.pick(time.Now())
		changed := q.changed
		q.mu.Unlock()
		if it != nil {
			return it, nil
		}
		var due <-chan time.Time
		if wait > 0 {
			due = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-changed:
		case <-due:
		}
	}
}

// pick takes the next record from the open feeds in turn, or says when the first retry is due (0: none waits).
func (q *queue) pick(now time.Time) (*item, time.Duration) {
	var wait time.Duration
	for i := range q.open {
		at := (q.turn + i) % len(q.open)
		it, due := q.open[at].take(now)
		if it != nil {
			q.turn = at + 1
			return it, 0
		}
		if due > 0 && (wait == 0 || due < wait) {
			wait = due
		}
	}
	return nil, wait
}

// wake tells those who wait in next to look again. The caller holds q.mu.
func (q *queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// note tells the jobs of the queue why they wait, or, when message is empty, that they no longer do. Those that have been told why are
// not told again when the message is the same as before.
func (q *queue) note(ctx context.Context, message string, again bool) {
	q.mu.Lock()
	var ids []string
	for _, f := range slices.Concat(q.open, q.waiting) {
		if f.noted && !again || !f.noted && message != "" {
			f.noted = message != ""
			ids = append(ids, f.job.ID)
		}
	}
	q.mu.Unlock()
	for _, id := range ids {
		if err := q.d.o.Store.Note(ctx, id, message); err != nil {
			q.d.o.Log.Warn("note on job", "job", id, "err", err)
		}
	}
}
