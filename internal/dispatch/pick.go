package dispatch

import (
	"container/heap"
	"context"
	"slices"
	"time"
)

// next waits for the lane's next errand: a due trial of a paused class, or a record. The record counts as in flight from then on. next
// returns nil when ctx has ended or the backend is out of use. A lane that shares its server does not wait: if it has no errand, next returns
// nil and when a waiting record is due (zero: none waits).
func (l *lane) next(ctx context.Context) (errand, time.Time) {
	for {
		if l.shut() { // since the lane began to wait for its slot
			return nil, time.Time{}
		}
		it, due := l.seek(time.Now())
		if it != nil {
			return l.taken(it), time.Time{}
		}
		if l.host.yields() {
			return nil, due
		}
		if l.await(ctx, due); ctx.Err() != nil || !l.usable() {
			return nil, time.Time{}
		}
	}
}

// seek takes a record, if there is one to be sent now. Else it returns nil and when a waiting record is due (zero: none waits).
func (l *lane) seek(now time.Time) (*item, time.Time) {
	it, at := l.trial(now)
	if it != nil {
		return it, at
	}
	for _, q := range l.order() {
		it, due := q.pick(l, now)
		if it != nil {
			return it, due
		}
		if !due.IsZero() && (at.IsZero() || due.Before(at)) {
			at = due
		}
	}
	return nil, at
}

// await waits until the lane is woken, until a record is due (zero: none waits), or until ctx ends.
func (l *lane) await(ctx context.Context, due time.Time) {
	var later <-chan time.Time
	if !due.IsZero() {
		later = time.After(max(time.Until(due), time.Millisecond))
	}
	l.idle.Store(true)
	defer l.idle.Store(false)
	select {
	case <-ctx.Done():
	case <-l.wake:
	case <-later:
	}
}

// taken notes that the record's model has the slot.
func (l *lane) taken(it *item) errand {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.uses.takes(it.feed.queue)
	return it
}

// othersTurn: every tenth record goes to the job whose turn it is by its share, even if another is urgent, so that no job starves.
const othersTurn = 10

// pick takes the next record for a lane. If there is none, it returns nil and the time when the next waiting record is due (zero: none
// waits). Records that were never sent go before retries, except for retries that the lane's credit pays: so a record that fails again and
// again takes little from the others.
func (q *queue) pick(l *lane, now time.Time) (*item, time.Time) {
	if rests(l, q.lanes()) {
		return nil, time.Time{}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if until := q.standsBack(l, now); !until.IsZero() {
		return nil, until
	}
	q.look(now)
	p := picking{l: l, now: now, retries: l.mayRetry(), suspects: q.suspects(), worked: l.works()}
	it := q.serve(&p)
	if it == nil {
		p.retries, p.empty = true, nil
		it = q.serve(&p)
	}
	if it == nil {
		return nil, p.due
	}
	q.took(l)
	return it, time.Time{}
}

// suspects is the highest number of crashes that a record may have been part of and still be sent now. It is 0 while there are records that
// were never sent, and then the lowest number among the waiting records. So records that may crash the server are sent after all others,
// and the most suspicious of them last.
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

// picking is the state of one search for a record.
type picking struct {
	l        *lane
	now      time.Time
	retries  bool      // waiting records, which failed before, may be taken
	suspects int       // those of them with at most so many crashes, see queue.suspects
	worked   bool      // the lane has answered a request since its latest outage
	begun    bool      // only jobs that are InProgress are considered
	empty    []*feed   // feeds that had no record for the lane after all
	due      time.Time // earliest due time of a waiting record; zero: none
}

// can reports whether a feed may have a record for the lane. It notes when its next waiting record is due.
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

// slowBegin is how long a job keeps its turn while it is being moved to InProgress. If the database takes longer, other jobs may begin.
const slowBegin = time.Second

// mayGo reports whether a record of the job may be sent now. On a lane that has answered something, the job must be InProgress first. On a
// lane that has not, the record only tests the lane, and the job stays Scheduled.
func (p *picking) mayGo(f *feed) bool { return !p.worked || f.begun.Load() }

// goes is mayGo for a job that gets a record before its turn. If the job is not InProgress, goes starts the transition, and a later record
// may be sent.
func (p *picking) goes(f *feed) bool {
	if p.mayGo(f) {
		return true
	}
	f.startBegin(p.now)
	return false
}

// wait notes the due time of a waiting record.
func (p *picking) wait(due time.Time) {
	if due.After(p.now) && (p.due.IsZero() || due.Before(p.due)) {
		p.due = due
	}
}

// serve takes a record of the job that is next: the urgent one, or the one whose turn it is by its share. The caller holds mu.
func (q *queue) serve(p *picking) *item {
	can := p.can // one closure for all calls
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
		if !p.mayGo(f) { // another job that is InProgress gets the slot; no other job begins in its place
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

// takeFrom takes a record for the turn of f: a due retry of f, or the longest record near the end of all work, or a neighbour's record, or
// the next record of f. The caller holds mu.
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
	if !f.ready.any(l) {
		return nil
	}
	to := l.aim(f)
	if g, there := q.neighbour(l, f, to); g != f && p.goes(g) {
		if it := g.takeReady(l, func() int { return l.step(g, there) }); it != nil {
			return it
		}
	}
	return f.takeReady(l, func() int { return l.step(f, to) })
}

// wake makes all lanes of the queue look for a record again.
func (q *queue) wake() {
	for _, l := range q.lanes() {
		l.signal()
	}
}

// rouse makes the waiting records of a class due soon, because there is new evidence about the class.
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

// lastRecords is the number of ready records, of all jobs, up to which slowest searches for the longest record. It searches once every
// slots records.
const lastRecords = 4096

// slowest returns the feed with the longest record if that record should be sent now, else nil. It should when nothing is left to be read
// and
//
//	length of the longest record × slots ≥ lengths of all ready records
//
// since then it would still run when all others are done. The length is item.length. The caller holds mu.
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
			length := it.length()
			sum += length
			if length > most {
				most, f = length, g
			}
		}
	}
	if most*float64(slots) < sum {
		q.slowNext = q.served + slots
		return nil
	}
	return f
}

// Bounds of what a feed may get before its turn because its prompts begin like the one that the lane has just sent.
const (
	leastBorrowed = 64 << 10 // tokens that are always allowed
	fromOwn       = 30.0     // seconds × the model's rate: tokens before a job of the same tenant
	fromOthers    = 3.0      // seconds × the model's rate: tokens before a job of another tenant
	leastShared   = 256      // bytes of the prompt that must be shared beyond what the feed whose turn it is shares
	looksAside    = 16       // feeds that are compared
)

// neighbour returns the feed to serve in the turn of f, and where: the one whose next prompt shares the longest beginning with the prompt
// that the lane sent last, if that is leastShared bytes more than f shares; else f. Its tokens are charged to its own account. The caller
// holds mu.
func (q *queue) neighbour(l *lane, f *feed, to aim) (*feed, aim) {
	if to.last == nil || len(q.feeds) < 2 || !f.ready.ordered {
		f.repay()
		return f, to
	}
	best, where := f, to
	shared := f.ready.items[f.ready.next(to.last, to.of)].prompt.Shared(to.last) + leastShared
	looked := 0
	for _, g := range q.feeds {
		if g == f || !g.ready.ordered || !g.ready.any(l) || g.borrowed > q.mayBorrow(g, f) {
			continue
		}
		if looked++; looked > looksAside {
			break
		}
		for of := range parts {
			if from, end := g.ready.bounds(of); from == end {
				continue
			}
			if n := g.ready.items[g.ready.next(to.last, of)].prompt.Shared(to.last); n > shared {
				best, where, shared = g, aim{of, to.last}, n
			}
		}
	}
	if best == f {
		f.repay()
	} else {
		best.borrowed += best.ready.items[best.ready.next(where.last, where.of)].size()
	}
	return best, where
}

// mayBorrow is how many tokens g may get in turns of f:
//
//	same tenant:   max(leastBorrowed, fromOwn × rate, all tokens of f)
//	other tenant:  max(leastBorrowed, fromOthers × rate)
//
// With the third term f waits for each neighbour no longer than f runs itself, while shared beginnings save all of them work.
func (q *queue) mayBorrow(g, f *feed) float64 {
	if g.tenant == f.tenant {
		return max(leastBorrowed, fromOwn*q.rate.rate, f.whole())
	}
	return max(leastBorrowed, fromOthers*q.rate.rate)
}

// whole estimates the tokens of all the job's records from one of them. There must be a ready record.
func (f *feed) whole() float64 { return float64(f.job.Counts.Total) * f.ready.items[0].size() }

// repay reduces what a feed has borrowed by what it gets in its own turn.
func (f *feed) repay() {
	if f.borrowed > 0 && len(f.ready.items) > 0 {
		f.borrowed = max(0, f.borrowed-f.ready.items[0].size())
	}
}
