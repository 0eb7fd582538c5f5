package dispatch

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// Bounds of what the feeds of a queue hold in memory.
const (
	leastReady = 512      // records that should be ready for the lanes at any time, if there are so many
	queueBytes = 16 << 20 // of claimed chunks. A job's window takes no more than walkBytes of it, so that another can begin
	reserve    = 1 << 20  // set aside for a chunk before its size is known
)

// queue is one model's jobs, and the lanes that take their records. Whose turn it is, shares.go says; when a job goes first because
// its time would run out, outlook.go; which of its records is next, walk.go.
type queue struct {
	d     *Dispatcher
	model string
	lanes []*lane

	mu       sync.Mutex
	feeds    []*feed // in the order of Enqueue
	shares   shares
	held     int64 // bytes of claimed chunks, and what is set aside for the next
	served   int   // records ever handed out
	rate     meter
	meanIn   average // tokens of a record of any job
	meanOut  average
	answers  answers       // that twins of records to come may share
	slowNext int           // of served: when to look again for a record that takes long
	looked   time.Time     // at the outlook
	changed  chan struct{} // closed, and replaced, whenever a record may have become ready
}

func newQueue(d *Dispatcher, s Serving) *queue {
	q := &queue{d: d, model: s.Model, changed: make(chan struct{})}
	for _, b := range s.Backends {
		q.lanes = append(q.lanes, newLane(q, b))
	}
	return q
}

// enqueue puts f into the line of its owner. The caller holds d.mu.
func (q *queue) enqueue(f *feed) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.feeds = append(q.feeds, f)
	q.shares.add(f)
	q.run(f)
}

// run starts a feed's goroutine, once the Dispatcher runs. The caller holds mu and d.mu.
func (q *queue) run(f *feed) {
	if q.d.take != nil && q.d.take.Err() == nil && !f.running {
		f.running = true
		q.d.wg.Go(f.run)
	}
}

// admit looks whether jobs may begin. It is called when a backend has become usable.
func (q *queue) admit() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.grant()
}

// grant lets jobs claim their next chunks: those whose turn it is as far as their windows reach, and others while the lanes have less
// than enough. A job stays Scheduled until its first, and until a backend can be used. The caller holds mu.
func (q *queue) grant() {
	if !slices.ContainsFunc(q.feeds, func(f *feed) bool { return f.wanting }) {
		return
	}
	for f := q.grantee(); f != nil; f = q.grantee() {
		f.wanting, f.granted, f.opened = false, true, true
		q.held += reserve
		f.nudge()
	}
}

func (q *queue) grantee() *feed {
	ready, wide := 0, q.width()
	for _, f := range q.feeds {
		ready += f.stock()
	}
	may := func(f *feed) bool { return f.wanting && q.fits(f) && len(f.ready.items) < f.ready.wide(wide) }
	if f := q.urgent(may); f != nil {
		return f
	}
	if ready < wide {
		return q.shares.entitled(may)
	}
	for _, t := range q.shares.tenants {
		for i := range t.lines {
			l := &t.lines[i]
			first, short := l.heads(may)
			if first == nil {
				continue
			}
			if _, shorter := l.ahead(short); shorter < wide {
				return short
			}
			if older, _ := l.ahead(first); older < wide {
				return first
			}
		}
	}
	return nil
}

// fits tells whether there is memory for another chunk of f, and, before its first, a backend.
func (q *queue) fits(f *feed) bool {
	switch {
	case !f.opened && !q.usable():
		return false
	case f.held == 0:
		return q.held == 0 || q.held+reserve <= queueBytes
	}
	return f.held+reserve <= walkBytes && q.held+reserve <= walkBytes
}

// width is how many records should be ready: as many as the lanes take at once, or more.
func (q *queue) width() int { return max(q.slots(), leastReady) }

// slots is how many records the lanes take at once.
func (q *queue) slots() (n int) {
	for _, l := range q.lanes {
		n += l.width()
	}
	return n
}

func (q *queue) usable() bool {
	return slices.ContainsFunc(q.lanes, func(l *lane) bool { return l.usable() })
}

// remove takes f out of the line, and lets go of its records that are not in flight. A feed that was never started ends here.
func (q *queue) remove(f *feed) {
	q.mu.Lock()
	q.drop(f)
	f.letGo()
	never := !f.running
	f.running = true
	q.mu.Unlock()
	if never {
		f.end()
	}
}

// drop forgets a feed. The caller holds mu.
func (q *queue) drop(f *feed) {
	if slices.Contains(q.feeds, f) {
		q.feeds = without(q.feeds, f)
		q.shares.remove(f)
	}
}

// next waits for a record for a lane and hands it out; it is in flight from then on.
func (q *queue) next(ctx context.Context, l *lane) (*item, error) {
	for {
		q.mu.Lock()
		it, wait := q.pick(l, time.Now())
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

// othersTurn is which of so many records goes to a job whose turn it is though another is urgent, so that nobody starves.
const othersTurn = 10

// pick takes the next record, or says when the first retry is due (0: none waits).
func (q *queue) pick(l *lane, now time.Time) (*item, time.Duration) {
	q.look(now)
	var wait time.Duration
	can := func(f *feed) bool {
		ok, due := f.has(now)
		if due > 0 && (wait == 0 || due < wait) {
			wait = due
		}
		return ok
	}
	f := q.urgent(can)
	if f == nil || q.served%othersTurn == 0 {
		if g := q.shares.entitled(can); g != nil {
			f = g
		}
	}
	if f == nil {
		return nil, wait
	}
	q.served++
	q.rate.begin(now)
	if g := q.slowest(); g != nil {
		return g.take(now, g.ready.longest), 0
	}
	f = q.neighbour(l, f)
	it := f.take(now, func() int { return f.ready.next(l.last) })
	l.last = &it.prompt
	return it, 0
}

// wake tells those who wait in next to look again. The caller holds q.mu.
func (q *queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// It is looked which record takes longest when no more than so many are left, and then once a round of the slots.
const lastRecords = 4096

// slowest is, when what is ready is all that there is, the feed with a record that takes as long as all the others together take the
// slots: it goes first, so that it is not what all wait for in the end. Otherwise nil.
func (q *queue) slowest() (f *feed) {
	slots := q.slots()
	if q.served < q.slowNext {
		return nil
	}
	most, sum, ready := 0.0, 0.0, 0
	for _, g := range q.feeds {
		if ready += len(g.ready.items); !g.dry || ready > lastRecords {
			return nil
		}
	}
	for _, g := range q.feeds {
		for _, it := range g.ready.items {
			size := it.size()
			sum += size
			if size > most {
				most, f = size, g
			}
		}
	}
	if most*float64(slots) < sum {
		q.slowNext = q.served + slots
		return nil
	}
	return f
}

// What a feed may get out of turn because the beginning of its prompts is what the lane has just sent, and how much longer that must be
// than what the feed whose turn it is has to offer.
const (
	leastBorrowed = 64 << 10 // tokens that it may in any case
	fromOwn       = 30.0     // seconds of the model's rate, when both are the same tenant's
	fromOthers    = 3.0      // and when not
	leastShared   = 256      // bytes
	looksAside    = 16       // feeds
)

// neighbour is the feed to serve in place of f, whose turn it is: another that goes on where the lane is in the walk through the
// prompts, while f would begin elsewhere. What it gets is on its own account.
func (q *queue) neighbour(l *lane, f *feed) *feed {
	if l.last == nil || len(q.feeds) < 2 || !f.ready.ordered || len(f.ready.items) == 0 {
		f.repay()
		return f
	}
	best, shared := f, f.ready.items[f.ready.next(l.last)].prompt.Shared(l.last)+leastShared
	looked := 0
	for _, g := range q.feeds {
		if g == f || !g.ready.ordered || len(g.ready.items) == 0 || g.borrowed > q.mayBorrow(g, f) {
			continue
		}
		if looked++; looked > looksAside {
			break
		}
		if n := g.ready.items[g.ready.next(l.last)].prompt.Shared(l.last); n > shared {
			best, shared = g, n
		}
	}
	if best == f {
		f.repay()
	} else {
		best.borrowed += best.ready.items[best.ready.next(l.last)].size()
	}
	return best
}

func (q *queue) mayBorrow(g, f *feed) float64 {
	if g.tenant == f.tenant {
		return max(leastBorrowed, fromOwn*q.rate.rate)
	}
	return max(leastBorrowed, fromOthers*q.rate.rate)
}

// repay takes what a feed gets in turn off what it got out of turn.
func (f *feed) repay() {
	if f.borrowed > 0 && len(f.ready.items) > 0 {
		f.borrowed = max(0, f.borrowed-f.ready.items[0].size())
	}
}

// note tells the jobs of the queue why they wait, or, when message is empty, that they no longer do. Those that have been told why are
// not told again when the message is the same as before.
func (q *queue) note(ctx context.Context, message string, again bool) {
	q.mu.Lock()
	var ids []string
	for _, f := range q.feeds {
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

func without(feeds []*feed, f *feed) []*feed {
	return slices.DeleteFunc(feeds, func(g *feed) bool { return g == f })
}

// permanent tells an error that no repetition mends.
func permanent(err error) bool {
	return blob.Permanent(err) || errors.Is(err, errIndex) || errors.Is(err, batholith.ErrMoved) || errors.Is(err, batholith.ErrNotFound)
}
