package dispatch

import (
	"container/heap"
	"context"
	"slices"
	"time"
)

// next waits for an errand of the lane: a probe of a paused class that is due, or a record, which is in flight from then on. It returns nil
// when ctx has ended or the backend is out.
func (l *lane) next(ctx context.Context) errand {
	for {
		now := time.Now()
		it, at := l.trial(now)
		if it != nil {
			return l.taken(it)
		}
		for _, q := range l.order() {
			it, due := q.pick(l, now)
			if it != nil {
				return l.taken(it)
			}
			if !due.IsZero() && (at.IsZero() || due.Before(at)) {
				at = due
			}
		}
		var later <-chan time.Time
		if !at.IsZero() {
			later = time.After(max(at.Sub(now), time.Millisecond))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		case <-later:
		}
		if !l.usable() {
			return nil
		}
	}
}

// taken notes that a record has the slot.
func (l *lane) taken(it *item) errand {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.uses.takes(it.feed.queue)
	return it
}

// othersTurn is which of so many records goes to a job whose turn it is though another is urgent, so that nobody starves.
const othersTurn = 10

// pick takes the next record for a lane, or says when one that waits is due (zero: none waits). Records that were not sent yet go before
// those that failed, apart from what the lane's credit allows, so that what fails again and again takes little from the others.
func (q *queue) pick(l *lane, now time.Time) (*item, time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.look(now)
	p := picking{l: l, now: now, retries: l.mayRetry(), suspects: q.suspects(), worked: l.works()}
	if it := q.serve(&p); it != nil {
		return it, time.Time{}
	}
	p.retries, p.empty = true, nil
	if it := q.serve(&p); it != nil {
		return it, time.Time{}
	}
	return nil, p.due
}

// suspects is in how many crashes a record may have been for being sent now: 0 while records that were not sent yet are ready or on their way
// here, and then as many as the least that one of those that wait was in. So the others are done before a record that was in more of them,
// and may be to blame, takes the server down again.
func (q *queue) suspects() (crashes int) {
	if slices.ContainsFunc(q.feeds, func(f *feed) bool { return f.stock() > 0 }) {
		return 0
	}
	for _, f := range q.feeds {
		for _, it := range f.later {
			if it.crashes > 0 && (crashes == 0 || it.crashes < crashes) && it.downed() {
				crashes = it.crashes
			}
		}
	}
	return crashes
}

// picking is one search for a record.
type picking struct {
	l        *lane
	now      time.Time
	retries  bool      // records that failed may be taken,
	suspects int       // those among them that were in flight at so many crashes, and no more,
	worked   bool      // the lane has answered something since it was last out
	begun    bool      // only jobs that have begun are looked at
	empty    []*feed   // that had nothing after all
	due      time.Time // of the first record that waits
}

// can tells whether a feed may have a record for the lane.
func (p *picking) can(f *feed) bool {
	if slices.Contains(p.empty, f) {
		return false
	}
	if !p.mayGo(f) && (p.begun || f.starting && p.now.Sub(f.startedAt) > slowBegin) {
		return false
	}
	if f.ready.any(p.l) {
		return true
	}
	if len(f.later) == 0 {
		return false
	}
	due := f.later[0].due
	p.wait(due)
	return p.retries && !due.After(p.now)
}

// slowBegin is how long a job that is being begun keeps its turn. After that the database is slow, or away, and others begin.
const slowBegin = time.Second

// mayGo tells whether a record of the job may be sent now. Where the lane works, the job must have begun first; where nothing was answered
// yet, the record is a trial and begins nothing.
func (p *picking) mayGo(f *feed) bool { return !p.worked || f.begun.Load() }

// goes tells the same of a job whose record goes before its turn, and has the job begun otherwise: the next such record goes.
func (p *picking) goes(f *feed) bool {
	if p.mayGo(f) {
		return true
	}
	f.startBegin(p.now)
	return false
}

// wait notes when the next record is due.
func (p *picking) wait(due time.Time) {
	if due.After(p.now) && (p.due.IsZero() || due.Before(p.due)) {
		p.due = due
	}
}

// serve takes a record of the job whose turn it is.
func (q *queue) serve(p *picking) *item {
	can := p.can // one closure for all that ask
	for {
		f := q.urgent(can)
		if f == nil || q.served%othersTurn == 0 {
			if g := q.shares.entitled(can); g != nil {
				f = g
			}
		}
		if f == nil {
			return nil
		}
		if !p.mayGo(f) { // the slot goes to a job that has begun, and no other begins in place of this one
			f.startBegin(p.now)
			p.wait(f.startedAt.Add(slowBegin + time.Millisecond))
			p.begun = true
			continue
		}
		if it := q.takeFrom(p, f); it != nil {
			q.served++
			q.rate.begin(p.now)
			return it
		}
		p.empty = append(p.empty, f)
	}
}

// takeFrom takes a record of f, or of one that goes before it for a while.
func (q *queue) takeFrom(p *picking, f *feed) *item {
	if p.retries {
		if it := f.takeWaiting(p); it != nil {
			return it
		}
	}
	l := p.l
	if g := q.slowest(); g != nil && g.ready.any(l) && p.goes(g) {
		return g.takeReady(l, g.ready.longest)
	}
	if g := q.neighbour(l, f); p.goes(g) {
		f = g
	}
	return f.takeReady(l, func() int { return l.step(f) })
}

// wake has the lanes look for a record again.
func (q *queue) wake() {
	for _, l := range q.lanes {
		l.signal()
	}
}

// rouse has what waits of a class judged soon: evidence has come.
func (q *queue) rouse(c *class) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for _, f := range q.feeds {
		for _, it := range f.later {
			if it.class == c && it.due.After(now) && it.due.Sub(now) <= pausedFor*5/4 {
				it.due = now.Add(jitter(firstRetry))
			}
		}
		heap.Init(&f.later)
		f.nudge()
	}
	q.grant()
	q.wake()
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
		if g == f || !g.ready.ordered || !g.ready.any(l) || g.borrowed > q.mayBorrow(g, f) {
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
