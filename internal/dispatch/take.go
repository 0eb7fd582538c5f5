package dispatch

import (
	"container/heap"
	"slices"
	"time"
)

// Estimates of a record's size until the model has answered records.
const (
	bytesPerToken  = 4   // of input
	firstOutTokens = 256 // of one record
)

// size estimates the tokens of a record, input and output: input bytes / 4 + out.
func (it *item) size() float64 { return float64(len(it.input))/bytesPerToken + it.out() }

// out estimates the tokens of a record's answer:
//
//	out = mean output of the job's answers × (the record's max tokens / mean max tokens of the answered records), at most its max tokens
//
// The answers are those of the record's group, if that is known. Until the job has answers, out is the record's max tokens; without that
// limit, the mean output of the job or the model, or else firstOutTokens.
func (it *item) out() float64 {
	f, most := it.feed, float64(it.prompt.MaxTokens)
	mean, limit := f.meanOut, f.meanMost
	if k := it.kin; k != nil && k.out.n >= leastKin {
		mean, limit = k.out, k.most
	}
	out := mean.or(f.queue.meanOut.or(firstOutTokens))
	switch {
	case most <= 0:
	case mean.n == 0:
		out = most
	default:
		out = min(most, out*most/limit.or(most))
	}
	return out
}

// promptsPerAnswer is how many tokens of a prompt take about as long as one of an answer: 10 on a CPU, and hundreds on a GPU.
const promptsPerAnswer = 32

// length estimates how long a record takes a slot, in tokens of an answer:
//
//	length = input bytes / 4 / promptsPerAnswer + out
func (it *item) length() float64 {
	return float64(len(it.input))/(bytesPerToken*promptsPerAnswer) + it.out()
}

// left estimates the tokens of the job's records that have no outcome yet:
//
//	left = records × (mean input tokens + mean output tokens)
//
// A job without answers yet is estimated from the model's average tokens per record, and from firstOutTokens if the model has none either.
func (f *feed) left() float64 {
	done := max(f.job.Counts.Processed+f.concluded, f.stored+f.concluded-f.storedAt)
	records := f.job.Counts.Total - done
	in := f.meanIn.or(f.queue.meanIn.or(firstOutTokens))
	return float64(max(records, 0)) * (in + f.meanOut.or(f.queue.meanOut.or(firstOutTokens)))
}

// stock is the number of sendable records, plus leastReady for a chunk that is being read and is not late.
func (f *feed) stock() int {
	n := f.sendable()
	if f.granted && !f.stalled {
		n += leastReady
	}
	return n
}

// sendable is the number of ready records whose class some lane sends now, and of those on the stage. If no lane is usable, all ready records
// count.
func (f *feed) sendable() int {
	paused := false
	for _, l := range f.queue.lanes() {
		paused = paused || l.paused.Load() > 0
	}
	if !paused || !f.queue.usable() {
		return len(f.ready.items) + f.media.size()
	}
	n := f.media.size()
	for c, k := range f.ready.count {
		if k > 0 && f.queue.takes(c) {
			n += k
		}
	}
	return n
}

// take puts a record in flight: it is charged to the job's shares, and the feed may claim more. The caller holds queue.mu.
func (f *feed) take(it *item) *item {
	f.flying++
	it.taken = time.Now()
	f.out.add(it)
	f.queue.shares.charge(it)
	if it.objects != nil {
		f.media.ahead--
		f.pump()
	}
	f.queue.grant()
	f.nudge()
	return it
}

// takeReady takes the ready record at the position that choose returns, or the first one after it (cyclically) whose class the lane sends.
// It returns nil if there is none. The caller holds queue.mu.
func (f *feed) takeReady(l *lane, choose func() int) *item {
	if !f.ready.any(l) {
		return nil
	}
	at, n := choose(), len(f.ready.items)
	if differ(f.queue.lanes(), f.queue.set()) {
		if at = f.suited(l, at); at < 0 {
			return nil
		}
		return f.take(f.ready.take(at))
	}
	for range n {
		if l.paused.Load() == 0 || l.takes(f.ready.items[at].class) {
			return f.take(f.ready.take(at))
		}
		at = (at + 1) % n
	}
	return nil
}

// looksAtWaiting is the number of due records that one pick judges at most.
const looksAtWaiting = 16

// takeWaiting judges due records of the job again, and returns the first that is to be sent on this lane or to end. The others wait on with
// a new due time. It returns nil if there is none. The caller holds queue.mu.
func (f *feed) takeWaiting(p *picking) *item {
	var kept []*item
	defer func() {
		for _, it := range kept {
			heap.Push(&f.later, it)
		}
		if len(f.later) > 0 {
			p.wait(later(f.later[0].due, p.now.Add(lookAgain))) // more records may be due than were judged
		}
	}()
	for range looksAtWaiting {
		if len(f.later) == 0 || f.later[0].due.After(p.now) {
			return nil
		}
		it := heap.Pop(&f.later).(*item)
		if it.crashes > p.suspects && p.now.Sub(it.failedAt) < suspectsWait && it.downed() {
			it.due = p.now.Add(lookAgain) // the records after it in the heap get their turn
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
			f.d.wg.Go(func() { it.failedOn.pause(it.class, it.failure) }) // in a goroutine, since lane.pause takes queue.mu
		default:
			it.due = p.now.Add(jitter(max(v.after, lookAgain)))
		}
		kept = append(kept, it)
	}
	return nil
}

// later returns the later of two times.
func later(due, other time.Time) time.Time {
	if due.Before(other) {
		return other
	}
	return due
}

// suspectsWait is how long a record that may have crashed the server waits for records that have not.
const suspectsWait = 10 * time.Minute

// downed reports whether the record was in flight in a crash that several requests shared, or was the only request when its connection
// broke.
func (it *item) downed() bool {
	if it.crashes == 0 {
		return false
	}
	it.failedOn.mu.Lock()
	defer it.failedOn.mu.Unlock()
	return it.attempt(it.failedOn).crashes > 0
}

// otherLane is how long a due record is kept from the lane on which it failed, so that another lane can take it.
const otherLane = 5 * time.Minute

// elsewhere reports whether a due record must not be sent on this lane now. There are four reasons: its class is paused here; the lane cannot
// answer it, and another one can; it failed here, and another lane sends its class; or it was part of a crash, and enough such records are in
// flight.
func (f *feed) elsewhere(it *item, p *picking) bool {
	l := p.l
	if it.failedOn != l && !l.takes(it.class) || len(f.queue.lanes()) > 1 && !f.queue.suits(l, it) || it.crashes > 0 && l.crowded() {
		it.due = p.now.Add(lookAgain)
		return true
	}
	if it.failedOn != l || len(f.queue.lanes()) < 2 || p.now.Sub(it.due) > otherLane {
		return false
	}
	p.wait(it.due.Add(otherLane + time.Millisecond))
	return slices.ContainsFunc(f.queue.lanes(), func(m *lane) bool {
		return m != l && m.takes(it.class) && !rests(m, f.queue.lanes()) && f.queue.suits(m, it)
	})
}

// untried takes a record of a paused class for a trial: one that was never sent, else the one that failed longest ago. The record of the
// last trial, and records that may crash the server, come last. turn varies the job and the position in it. The caller holds mu.
func (q *queue) untried(c *class, last *item, turn int) *item {
	for i := range q.feeds {
		f := q.feeds[(turn+i)%len(q.feeds)]
		n := len(f.ready.items)
		if f.ready.count[c] == 0 {
			continue
		}
		start := int(uint(turn) * 2654435761 % uint(n)) // spread over the window: bad records may be neighbours
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
		if a, b := it.downed(), than.downed(); a != b { // it may crash the server again
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

// try takes a record although its class is paused.
func (f *feed) try(it *item) *item {
	it.trial = true
	f.trials[it.class]++
	return f.take(it)
}

// nudge makes the feed's goroutine check its condition again (see until). It does not block.
func (f *feed) nudge() {
	select {
	case f.idle <- struct{}{}:
	default:
	}
}

// average is an exponentially weighted mean: after each value, the weight of all older ones falls by 1/averageOver.
type average struct{ sum, n float64 }

// averageOver is the number of values after which a value's weight has fallen to 1/e.
const averageOver = 500

// add takes in a value.
func (a *average) add(v float64) {
	const fade = 1 - 1.0/averageOver
	a.sum, a.n = a.sum*fade+v, a.n*fade+1
}

// or returns the mean, or other while there are no values.
func (a *average) or(other float64) float64 {
	if a.n == 0 {
		return other
	}
	return a.sum / a.n
}

// retries is a heap of waiting records; the record that is due first is on top.
type retries []*item

// Len, Less and Swap implement [sort.Interface], and Push and Pop [heap.Interface].
func (r retries) Len() int { return len(r) }

// Less orders by due time.
func (r retries) Less(i, j int) bool { return r[i].due.Before(r[j].due) }

// Swap exchanges two records.
func (r retries) Swap(i, j int) { r[i], r[j] = r[j], r[i] }

// Push appends an *item. Only package heap calls it.
func (r *retries) Push(x any) { *r = append(*r, x.(*item)) }

// Pop removes the last *item, which package heap has put there.
func (r *retries) Pop() any {
	old := *r
	it := old[len(old)-1]
	*r = old[:len(old)-1]
	return it
}
