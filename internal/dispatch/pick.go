package dispatch

import (
	"context"
	"time"
)

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
	return f.take(now, func() int { return l.step(f) }), 0
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

// Bounds of what a feed may get out of turn because its prompts begin as the one that the lane has just sent.
const (
	leastBorrowed = 64 << 10 // tokens; allowed in any case
	fromOwn       = 30.0     // seconds of the model's rate, from another job of the same tenant
	fromOthers    = 3.0      // seconds of the model's rate, from a job of another tenant
	leastShared   = 256      // bytes that must be shared beyond what the feed whose turn it is shares
	looksAside    = 16       // feeds that are looked at
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

// mayBorrow is how many tokens g may get before its turn while it is f's. From a job of its own tenant that is as much as f takes as a whole:
// f waits for each of the jobs it walks with no longer than it runs itself, and all of them need less of the server.
func (q *queue) mayBorrow(g, f *feed) float64 {
	if g.tenant == f.tenant {
		return max(leastBorrowed, fromOwn*q.rate.rate, f.whole())
	}
	return max(leastBorrowed, fromOthers*q.rate.rate)
}

// whole is about how many tokens all of the job's records take, reckoned by one of them. There must be a record.
func (f *feed) whole() float64 { return float64(f.job.Counts.Total) * f.ready.items[0].size() }

// repay takes what a feed gets in turn off what it got out of turn.
func (f *feed) repay() {
	if f.borrowed > 0 && len(f.ready.items) > 0 {
		f.borrowed = max(0, f.borrowed-f.ready.items[0].size())
	}
}
