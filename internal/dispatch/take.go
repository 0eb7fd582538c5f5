package dispatch

import (
	"container/heap"
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

// stock is how many records are ready, with those of a chunk that is being read unless it is late.
func (f *feed) stock() int {
	if f.granted && !f.stalled {
		return len(f.ready.items) + leastReady
	}
	return len(f.ready.items)
}

// has tells whether the feed can hand out a record, or how long it is until a retry is due. The caller holds queue.mu.
func (f *feed) has(now time.Time) (bool, time.Duration) {
	if len(f.ready.items) > 0 {
		return true, 0
	}
	if len(f.later) == 0 {
		return false, 0
	}
	wait := f.later[0].due.Sub(now)
	return wait <= 0, max(wait, 0)
}

// take hands out a record, one whose retry is due first, and else the one at a position of the window that choose says. The feed has
// one. The caller holds queue.mu.
func (f *feed) take(now time.Time, choose func() int) *item {
	var it *item
	if len(f.later) > 0 && !f.later[0].due.After(now) {
		it = heap.Pop(&f.later).(*item)
	} else {
		it = f.ready.take(choose())
	}
	f.flying++
	f.queue.shares.charge(it)
	f.queue.grant()
	f.nudge()
	return it
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
