package simlm

import (
	"container/list"
	"context"
	"errors"
	"math"
	"sync"
	"time"
)

// batch works on requests as a server with continuous batching does: those that have a slot advance together, step by step, and
// those that have none wait in the order of their arrival. Without a cost of steps each has a time of its own instead.
//
// No goroutine runs in it: a timer ends each step, and there is none while nobody is asked for anything.
type batch struct {
	o *Options

	mu      sync.Mutex
	account account
	waiting list.List   // of *sequence, the longest waiting first
	running []*sequence // those of the steps, in the order of admission
	cache   *prefixes   // nil: none

	stepping bool        // a step is in hand, which timer ends
	due      time.Time   // when it ends
	timer    *time.Timer // nil before the first step
	wake     *time.Timer // looks at those that wait when the schedule changes
}

// sequence is one request in the batch.
type sequence struct {
	prompt, output int      // tokens
	blocks         []uint64 // of the prompt; none without a cache
	other          bool     // of the background, see [Others]
	endless        bool     // it has no end but its client's

	came     time.Time
	place    *list.Element // in the queue; nil once it has a slot
	cached   int           // tokens of the prompt that the cache held
	computed int           // tokens of the prompt that are there, cached or computed
	made     int           // tokens of the answer
	timer    *time.Timer   // of its own time, without steps
	gone     bool          // its client is, or it has finished
	finished chan struct{} // closed at its end
}

// forever is the time of a request without an end.
const forever = 100 * 365 * 24 * time.Hour

var errFull = errors.New("the queue is full")

func newBatch(o *Options) *batch {
	b := &batch{o: o}
	if o.Cache >= blockTokens {
		b.cache = newPrefixes(o.Cache)
	}
	b.account.open(o, time.Now())
	return b
}

// steps tells whether time passes in steps.
func (o *Options) steps() bool { return o.Step > 0 || o.Decode > 0 || o.Prefill > 0 }

// own is the time that a request takes by itself.
func (o *Options) own(output int) time.Duration { return o.Latency + time.Duration(output)*o.PerToken }

// do works on a request until it is finished or ctx ends; errFull refuses it.
func (b *batch) do(ctx context.Context, s *sequence) error {
	if d := b.o.own(s.output); b.o.steps() && d > 0 {
		if err := pass(ctx, d); err != nil {
			return err
		}
	}
	if err := b.enter(s); err != nil {
		return err
	}
	select {
	case <-s.finished:
		return ctx.Err()
	case <-ctx.Done():
		b.leave(s)
		return ctx.Err()
	}
}

// pass lets time pass.
func pass(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter puts a request at the end of the queue. A step that is in hand goes on without it.
func (b *batch) enter(s *sequence) error {
	s.finished = make(chan struct{})
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.account.advance(now)
	if s.came = now; b.full(s) {
		b.account.refused(s)
		return errFull
	}
	s.place = b.waiting.PushBack(s)
	b.account.entered(s)
	b.proceed(now)
	return nil
}

// full tells whether s would wait beyond the bound of the queue. A queue that is empty takes a request of any number of tokens.
func (b *batch) full(s *sequence) bool {
	slots := b.account.slots
	if b.o.Queue == 0 || slots < 0 {
		return false
	}
	bound := max(b.o.Queue, 0)
	switch b.o.QueueBy {
	case QueueWaiting:
		return b.account.waiting >= bound && (b.account.waiting > 0 || b.account.running >= slots)
	case QueueTokens:
		return b.account.queued > 0 && b.account.queued+s.prompt > bound
	}
	return b.account.running+b.account.waiting >= slots+bound
}

// leave takes out a request whose client is gone: from the queue at once, from a step at its end.
func (b *batch) leave(s *sequence) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.gone {
		return
	}
	now := time.Now()
	b.account.advance(now)
	b.account.total.Cancelled++
	switch {
	case s.place != nil:
		s.gone = true
		b.waiting.Remove(s.place)
		b.account.gaveUp(s)
	case s.timer != nil:
		s.timer.Stop()
		b.free(s)
		b.proceed(now)
	default:
		s.gone = true
	}
}

// proceed does what can be done now: nothing while a step is in hand.
func (b *batch) proceed(now time.Time) {
	if !b.stepping {
		b.due = now
		b.next(now)
	}
}

// next fills the slots and begins the step that follows at b.due.
func (b *batch) next(now time.Time) {
	b.admit(now)
	if len(b.running) > 0 {
		b.begin(now)
	}
	b.await(now)
}

// await sees to it that those who wait are looked at when the number of slots changes: the end of a step does so, too.
func (b *batch) await(now time.Time) {
	next, ok := b.account.change()
	if b.waiting.Len() == 0 || b.stepping || !ok {
		return
	}
	if b.wake == nil {
		b.wake = time.AfterFunc(next.Sub(now), b.changed)
		return
	}
	b.wake.Reset(next.Sub(now))
}

func (b *batch) changed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.account.advance(now)
	b.proceed(now)
}

// admit gives free slots to those that have waited longest. What the cache holds of their prompts need not be computed; the last
// token of a prompt is in no block, so that one at least is, as an answer demands (vLLM does likewise).
func (b *batch) admit(now time.Time) {
	for b.waiting.Len() > 0 && (b.account.slots < 0 || b.account.running < b.account.slots) {
		s := b.waiting.Remove(b.waiting.Front()).(*sequence)
		s.place = nil
		if b.cache != nil {
			s.cached = b.cache.leading(s.blocks) * blockTokens
			s.computed = s.cached
		}
		b.account.admitted(s, now)
		if b.o.steps() {
			b.running = append(b.running, s)
			continue
		}
		b.compute(s, math.MaxInt)
		if d := b.o.own(s.output); d > 0 || s.endless {
			if s.endless {
				d = forever
			}
			s.timer = time.AfterFunc(d, func() { b.expire(s) })
			continue
		}
		b.answer(s)
	}
}

// compute takes up to so many tokens of a prompt into the cache and says how many it took.
func (b *batch) compute(s *sequence, most int) int {
	n := min(s.prompt-s.computed, most)
	s.computed += n
	b.account.total.PrefilledTokens += int64(n)
	if b.cache != nil && n > 0 {
		b.cache.use(s.blocks[:min(s.computed/blockTokens, len(s.blocks))])
	}
	return n
}

// expire ends a request whose own time is over.
func (b *batch) expire(s *sequence) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.gone {
		return
	}
	now := time.Now()
	b.account.advance(now)
	b.answer(s)
	b.proceed(now)
}

// answer ends a request whose answer is there, what of it was not counted step by step included.
func (b *batch) answer(s *sequence) {
	b.account.generated(s, s.output-s.made)
	b.account.answered(s)
	b.free(s)
}

// free gives the slot back, and wakes who waits for the answer.
func (b *batch) free(s *sequence) {
	s.gone = true
	b.account.freed(s)
	close(s.finished)
}
