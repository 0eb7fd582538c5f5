package dispatch

import (
	"container/heap"
	"slices"
	"time"
)

// Estimates of a record's size before anything is known of its job's answers.
const (
	bytesPerToken  = 4
	firstOutTokens = 256
)

// size is how many tokens a record will take, prompt and answer. Of the answer nothing is known but what others had: it is taken for as
// much longer than theirs as its bound is higher.
func (it *item) size() float64 {
	f, most := it.feed, float64(it.prompt.MaxTokens)
	out := f.meanOut.or(f.queue.meanOut.or(firstOutTokens))
	switch {
	case most <= 0:
	case f.meanOut.n == 0:
		out = most
	default:
		out = min(most, out*most/f.meanMost.or(most))
	}
	return float64(len(it.input))/bytesPerToken + out
}

// left is how many tokens the job will still take. Of one that has no answers yet, each record is taken for one of the model's others.
func (f *feed) left() float64 {
	records := f.job.Counts.Total - f.job.Counts.Processed - f.concluded
	in := f.meanIn.or(f.queue.meanIn.or(firstOutTokens))
	return float64(max(records, 0)) * (in + f.meanOut.or(f.queue.meanOut.or(firstOutTokens)))
}

// stock is how many records could be sent now, with those of a chunk that is being read unless it is late.
func (f *feed) stock() int {
	n := f.sendable()
	if f.granted && !f.stalled {
		n += leastReady
	}
	return n
}

// sendable is how many records are ready whose class is not paused on every lane that can be used. While none can, all of them count.
func (f *feed) sendable() int {
	paused := false
	for _, l := range f.queue.lanes {
		paused = paused || l.paused.Load() > 0
	}
	if !paused || !f.queue.usable() {
		return len(f.ready.items)
	}
	n := 0
	for c, k := range f.ready.count {
		if k > 0 && f.queue.takes(c) {
			n += k
		}
	}
	return n
}

// take accounts for a record that was taken out of the feed: it is in flight from now on. The caller holds queue.mu.
func (f *feed) take(it *item) *item {
	f.flying++
	it.taken = time.Now()
	f.out.add(it)
	f.queue.shares.charge(it)
	f.queue.grant()
	f.nudge()
	return it
}

// takeReady takes the record at the position of the window that choose says, or the next one after it that the lane takes. It returns nil
// when there is none. The caller holds queue.mu.
func (f *feed) takeReady(l *lane, choose func() int) *item {
	if !f.ready.any(l) {
		return nil
	}
	at, n := choose(), len(f.ready.items)
	for range n {
		if l.paused.Load() == 0 || l.takes(f.ready.items[at].class) {
			return f.take(f.ready.take(at))
		}
		at = (at + 1) % n
	}
	return nil
}

// looksAtWaiting is how many records that are due are judged for one pick.
const looksAtWaiting = 16

// takeWaiting takes a record that failed, has waited, and is to be sent again on the lane, or to be ended. Those that are judged otherwise
// wait on. The caller holds queue.mu.
func (f *feed) takeWaiting(p *picking) *item {
	var kept []*item
	defer func() {
		for _, it := range kept {
			heap.Push(&f.later, it)
		}
		if len(f.later) > 0 {
			p.wait(later(f.later[0].due, p.now.Add(lookAgain))) // there may be more that are due than were judged
		}
	}()
	for range looksAtWaiting {
		if len(f.later) == 0 || f.later[0].due.After(p.now) {
			return nil
		}
		it := heap.Pop(&f.later).(*item)
		if it.crashes > p.suspects && p.now.Sub(it.failedAt) < suspectsWait && it.downed() {
			it.due = p.now.Add(lookAgain) // so that those behind it are looked at
			kept = append(kept, it)
			continue
		}
		if f.elsewhere(it, p) {
			kept = append(kept, it)
			continue
		}
		switch v := it.rejudged(p.l); v.act {
		case ask, finish:
			return f.take(it)
		case inquire:
			it.due = p.now.Add(jitter(v.after))
			it.failedOn.inquire(it.class, it.failure)
		case pause:
			it.due = p.now.Add(jitter(pausedFor))
			f.d.wg.Go(func() { it.failedOn.pause(it.class, it.failure) }) // it takes queue.mu
		default:
			it.due = p.now.Add(jitter(max(v.after, lookAgain)))
		}
		kept = append(kept, it)
	}
	return nil
}

// later is due, or the other time when it has passed by then.
func later(due, other time.Time) time.Time {
	if due.Before(other) {
		return other
	}
	return due
}

// suspectsWait is how long a record that may take the server down waits for others, which may not.
const suspectsWait = 10 * time.Minute

// downed tells whether the record was in flight when a server went down, or alone when its connection broke.
func (it *item) downed() bool {
	if it.crashes == 0 {
		return false
	}
	it.failedOn.mu.Lock()
	defer it.failedOn.mu.Unlock()
	return it.attempt(it.failedOn).crashes > 0
}

// otherLane is how long a record that is due waits for another lane than the one where it failed.
const otherLane = 5 * time.Minute

// elsewhere tells whether a record that is due is not for this lane now: its class is paused here; it failed here, and another lane takes
// its class; or it was part of a crash, and enough of such records are in flight.
func (f *feed) elsewhere(it *item, p *picking) bool {
	l := p.l
	if it.failedOn != l && !l.takes(it.class) || it.crashes > 0 && l.crowded() {
		it.due = p.now.Add(lookAgain)
		return true
	}
	if it.failedOn != l || len(f.queue.lanes) < 2 || p.now.Sub(it.due) > otherLane {
		return false
	}
	p.wait(it.due.Add(otherLane + time.Millisecond))
	return slices.ContainsFunc(f.queue.lanes, func(m *lane) bool { return m != l && m.takes(it.class) })
}

// untried takes a record of a class to be tried: one that was not sent yet, or else the one that has waited longest; not the last that was
// tried, while there are others. The turn says which job, and which of its records. The caller holds mu.
func (q *queue) untried(c *class, last *item, turn int) *item {
	for i := range q.feeds {
		f := q.feeds[(turn+i)%len(q.feeds)]
		n := len(f.ready.items)
		if f.ready.count[c] == 0 {
			continue
		}
		start := int(uint(turn) * 2654435761 % uint(n)) // anywhere: bad records may lie together
		for j := range n {
			at := (start + j) % n
			if f.ready.items[at].class == c {
				return f.try(f.ready.take(at))
			}
		}
	}
	var from *feed
	at := -1
	better := func(it, than *item) bool {
		if a, b := it == last, than == last; a != b {
			return b
		}
		if a, b := it.downed(), than.downed(); a != b { // it may take the server down once more
			return b
		}
		return it.failedAt.Before(than.failedAt)
	}
	for i := range q.feeds {
		f := q.feeds[(turn+i)%len(q.feeds)]
		for j, it := range f.later {
			if it.class == c && (at < 0 || better(it, from.later[at])) {
				from, at = f, j
			}
		}
	}
	if at < 0 {
		return nil
	}
	return from.try(heap.Remove(&from.later, at).(*item))
}

// try takes a record that is sent though its class is paused.
func (f *feed) try(it *item) *item {
	it.trial = true
	f.trials[it.class]++
	return f.take(it)
}

// nudge lets the feed's goroutine look at its conditions again.
func (f *feed) nudge() {
	select {
	case f.idle <- struct{}{}:
	default:
	}
}

// average is a mean in which what is older counts less.
type average struct{ sum, n float64 }

// averageOver is about how many values it remembers.
const averageOver = 500

func (a *average) add(v float64) {
	const fade = 1 - 1.0/averageOver
	a.sum, a.n = a.sum*fade+v, a.n*fade+1
}

// or is the mean, or another value while there is none.
func (a *average) or(other float64) float64 {
	if a.n == 0 {
		return other
	}
	return a.sum / a.n
}

// retries is a heap of records by the time at which they are due.
type retries []*item

func (r retries) Len() int           { return len(r) }
func (r retries) Less(i, j int) bool { return r[i].due.Before(r[j].due) }
func (r retries) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *retries) Push(x any)        { *r = append(*r, x.(*item)) }
func (r *retries) Pop() any {
	old := *r
	it := old[len(old)-1]
	*r = old[:len(old)-1]
	return it
}
