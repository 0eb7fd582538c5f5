package dispatch

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/batholith/batholith"
)

// settled notes that a record is in flight no longer. The caller holds queue.mu.
func (f *feed) settled() {
	f.flying--
	if !slices.ContainsFunc(f.queue.feeds, func(g *feed) bool { return g.flying+len(g.ready.items) > 0 }) {
		f.queue.rate.pause()
	}
	f.nudge()
}

// finish ends a record: its outcome is with the sink. What it took in fact is on its job's account from here on.
func (f *feed) finish(it *item, took batholith.Tokens) {
	q := f.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	tokens := float64(took.Input) + float64(took.Output)
	if tokens > 0 {
		if it.prompt.MaxTokens > 0 {
			f.meanMost.add(float64(it.prompt.MaxTokens))
		}
		for _, m := range [...]struct{ in, out *average }{{&f.meanIn, &f.meanOut}, {&q.meanIn, &q.meanOut}} {
			m.in.add(float64(took.Input))
			m.out.add(float64(took.Output))
		}
	}
	tokens = cmp.Or(tokens, it.charged) // a server that does not say how many is believed to have taken what was reckoned
	q.shares.settle(it, tokens)
	q.rate.add(tokens, time.Now())
	f.concluded++
	f.settled()
	if it.chunk.left--; it.chunk.left == 0 && it.chunk.holding == f.holding {
		f.held, q.held = f.held-it.chunk.Bytes, q.held-it.chunk.Bytes
		delete(f.loaded, it.chunk)
		it.chunk.hold.Release()
	}
	q.grant()
}

// again has a record wait for its next attempt.
func (f *feed) again(it *item, delay time.Duration) {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	f.queue.shares.settle(it, 0)
	f.settled()
	if it.term.Err() == nil {
		it.due = time.Now().Add(delay)
		heap.Push(&f.later, it)
		f.queue.wake()
	}
}

// back puts a record where it was, as if it had not been taken.
func (f *feed) back(it *item) {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	f.queue.shares.settle(it, 0)
	f.settled()
	if it.term.Err() == nil {
		f.ready.back(it)
		f.queue.wake()
	}
}

// drop lets go of a record that was called off.
func (f *feed) drop(it *item) {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	f.queue.shares.settle(it, 0)
	f.settled()
}

// opening watches a job's first outcomes: when they all fail alike, the user wants to know before the rest do.
type opening struct {
	seen  int
	first *batholith.RecordError // the job's first error
	mixed bool                   // an answer, or another error, was seen among the first outcomes
}

// openingRecords is how many outcomes must fail alike.
const openingRecords = 10

// watch takes one outcome into account and returns what to note on the job, if anything.
func (f *feed) watch(e *batholith.RecordError) string {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	o := &f.start
	if e != nil && o.first == nil {
		o.first = e
	}
	if o.seen++; o.seen > openingRecords {
		return ""
	}
	o.mixed = o.mixed || e == nil || *e != *o.first
	if o.seen < openingRecords || o.mixed {
		return ""
	}
	return fmt.Sprintf("The first %d records all ended with the same error: %s", o.seen, o.first)
}

// FirstError is the first error line that a job got in this process, nil when there was none or the job is not here.
func (d *Dispatcher) FirstError(job string) *batholith.RecordError {
	d.mu.Lock()
	f := d.feeds[job]
	d.mu.Unlock()
	if f == nil {
		return nil
	}
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	return f.start.first
}

// insist is [Dispatcher.insist] for a call on the job's behalf: how it fails is told, and that it goes on.
func (f *feed) insist(ctx context.Context, what string, do func() error) error {
	began, told := time.Now(), false
	err := f.d.insist(ctx, what, func() error {
		err := do()
		if err != nil && !permanent(err) && ctx.Err() == nil {
			told = true
			f.d.o.Waits(f.job.ID, began, err)
		}
		return err
	})
	if told {
		f.d.o.Waits(f.job.ID, time.Time{}, nil)
	}
	return err
}

// insist repeats do, waiting longer each time, until it succeeds, says that it never will, or ctx ends.
func (d *Dispatcher) insist(ctx context.Context, what string, do func() error) error {
	for delay := 100 * time.Millisecond; ; delay = min(2*delay, 5*time.Second) {
		err := do()
		if err == nil || permanent(err) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		d.o.Log.Warn(what, "err", err, "again_in", delay)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(delay):
		}
	}
}
