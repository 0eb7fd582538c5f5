package results

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/batholith/batholith"
)

// item is a pending outcome and its journal file, if any.
type item struct {
	batholith.Outcome
	file    *logFile
	copy    *logFile // a second, younger journal file with it, until that is synced: see Writer.unpin
	worker  string   // the worker that leased its chunk; "": this one
	counted bool     // included in queue.bytes and Writer.pending
}

// size is the memory of the item, in bytes.
func (i *item) size() int64 { return int64(len(i.Line) + overhead) }

// queue holds the outcomes of one job until they are settled. They are numbered from 1 in the order of Add; items[0] has the number
// settled+1. The Writer's mutex guards all fields except wake and ctx.
type queue struct {
	job     string
	items   []item // in the order of Add; the first taken of them are being committed
	taken   int
	bytes   int64         // sum over the counted items
	oldest  time.Time     // when the first item that is not taken was added
	added   int64         // number of outcomes ever added
	settled int64         // number of outcomes ever settled
	urgent  int64         // outcomes up to this number are to be committed at once
	moved   chan struct{} // closed, and replaced, when settled rises

	wake   chan struct{} // 1-buffered, never closed; gets a value when there may be more to do
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// newQueue makes the queue of a job. Its context ends with its goroutine, or when the job's outcomes are given up.
func newQueue(job string) *queue {
	q := &queue{job: job, moved: make(chan struct{}), wake: make(chan struct{}, 1)}
	q.ctx, q.cancel = context.WithCancelCause(context.Background())
	return q
}

// nudge wakes the goroutine of drive. It does not block.
func (q *queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// push appends an item that is not counted yet, and returns its number.
func (q *queue) push(i item) int64 {
	if len(q.items) == q.taken {
		q.oldest = time.Now()
	}
	q.items = append(q.items, i)
	q.added++
	if len(q.items) == q.taken+1 {
		q.nudge()
	}
	return q.added
}

// count adds the outcome with this number, which must not be settled, to the bytes of the queue, and returns its size.
func (q *queue) count(n int64) int64 {
	i := &q.items[n-q.settled-1]
	i.counted = true
	if q.bytes += i.size(); q.bytes >= segmentBytes {
		q.nudge()
	}
	return i.size()
}

// hurry makes the outcomes up to target be committed without a wait for more.
func (q *queue) hurry(target int64) {
	q.urgent = max(q.urgent, target)
	q.nudge()
}

// drop cancels the running commit. The outcomes then leave the queue as if they had been refused.
func (q *queue) drop(cause error) {
	q.cancel(cause)
	q.nudge()
}

// due is when the next segment is to be made; the zero time: now. There must be an item.
func (q *queue) due() time.Time {
	if q.urgent > q.settled || q.bytes >= segmentBytes || q.ctx.Err() != nil {
		return time.Time{}
	}
	return q.oldest.Add(segmentEvery)
}

// take returns the outcomes for the next segment, all from one worker. They stay in the queue until settle.
func (q *queue) take() []item {
	size := int64(0)
	for q.taken = 0; q.taken < len(q.items) && size < segmentBytes && q.items[q.taken].worker == q.items[0].worker; q.taken++ {
		size += q.items[q.taken].size()
	}
	q.oldest = time.Now()                  // the rest was added later; it waits for at most segmentEvery from now on
	return slices.Clone(q.items[:q.taken]) // a copy, since unpin may change the file of the queue's items
}

// settle removes the taken outcomes, and returns the sum of those that were counted.
func (q *queue) settle() int64 {
	size := int64(0)
	for i := range q.items[:q.taken] {
		it := &q.items[i]
		if it.counted {
			size += it.size()
		}
		if it.Settled != nil {
			it.Settled()
		}
	}
	rest := copy(q.items, q.items[q.taken:])
	clear(q.items[rest:])
	q.items = q.items[:rest]
	q.settled += int64(q.taken)
	q.taken = 0
	q.bytes -= size
	close(q.moved)
	q.moved = make(chan struct{})
	return size
}

// drive commits a queue's outcomes until there are none, or ctx ends. It is the only goroutine that takes from the queue.
func (w *Writer) drive(ctx context.Context, q *queue) {
	defer q.cancel(nil)
	defer context.AfterFunc(ctx, func() { q.cancel(context.Cause(ctx)) })()
	for ctx.Err() == nil {
		batch, wait := w.nextBatch(q)
		switch {
		case wait > 0:
			timer := time.NewTimer(wait)
			select {
			case <-q.wake:
			case <-timer.C:
			case <-ctx.Done():
			}
			timer.Stop()
		case len(batch) == 0:
			return // the queue was removed
		default:
			err := w.settle(q.ctx, cmp.Or(batch[0].worker, w.o.Worker), batch)
			if err != nil && ctx.Err() != nil {
				return // the outcomes stay in the journal
			}
			if err != nil {
				w.o.Log.Warn("outcomes of a job are dropped, because the job has ended or its records belong to another worker", "job", q.job, "outcomes", len(batch), "err", err)
			}
			w.settled(q)
		}
	}
}

// nextBatch returns the outcomes for the next segment, or how long to wait for them. If the queue is empty it removes the queue and returns
// neither.
func (w *Writer) nextBatch(q *queue) ([]item, time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(q.items) == 0 {
		delete(w.queues, q.job)
		return nil, 0
	}
	if wait := time.Until(q.due()); wait > 0 && !w.closing {
		return nil, wait
	}
	return q.take(), 0
}

// settled removes the taken outcomes from q, which are committed or refused.
func (w *Writer) settled(q *queue) {
	w.mu.Lock()
	defer w.mu.Unlock()
	// One release for each file and not for each outcome, since every Add takes the journal's mutex.
	byFile := map[*logFile]int{}
	for _, i := range q.items[:q.taken] {
		byFile[i.file]++
		byFile[i.copy]++
	}
	for f, n := range byFile {
		w.journal.release(f, n)
	}
	w.pending -= q.settle()
	close(w.freed)
	w.freed = make(chan struct{})
}
