package simlm

import (
	"container/list"
	"context"
	"errors"
	"math"
	"sync"
	"time"
)

// batch processes requests like a server with continuous batching: requests with a slot advance together, step by step, and
// the others wait in order of arrival. Without a cost of steps, each request has its own time instead.
//
// It has no goroutine: a timer ends each step, and no timer runs while there are no requests.
type batch struct {
	o *Options

	mu      sync.Mutex
	account account
	waiting list.List   // of *sequence, oldest first
	running []*sequence // sequences in the steps, in the order of admission
	held    int         // what they hold of Roofline.Memory
	cache   *prefixes   // nil: none

	stepping bool        // a step is running, which timer ends
	due      time.Time   // end of the step
	timer    *time.Timer // nil before the first step
	wake     *time.Timer // fires when the number of slots changes while requests wait
}

// sequence is one request in the batch.
type sequence struct {
	prompt, output int      // tokens
	blocks         []uint64 // names of the prompt's blocks; none without a cache
	other          bool     // a request of the background, see [Background]
	endless        bool     // it only ends when its client goes
	rank           int64    // its place in the queue: lower ones are served first

	came     time.Time
	place    *list.Element // place in the queue; nil: it has a slot
	cached   int           // tokens of the prompt that the cache held
	computed int           // tokens of the prompt that are cached or computed
	made     int           // tokens of the answer so far
	redone   int           // of them, those that are computed again after a preemption
	resumes  bool          // it was preempted
	idle     bool          // it gains no token in this step
	timer    *time.Timer   // end of its own time, without steps
	gone     bool          // its client has gone, or it has finished
	finished chan struct{} // closed by free, at its end
	told     func(n int)   // is told how many tokens there are, of a stream; nil: of no stream
	news     chan struct{} // wakes follow; nil: of no stream
}

// forever is the time of a request without an end.
const forever = 100 * 365 * 24 * time.Hour

// errFull refuses a request.
var errFull = errors.New("the queue is full")

// newBatch makes a batch with a free server.
func newBatch(o *Options) *batch {
	b := &batch{o: o}
	if o.Cache >= blockTokens {
		b.cache = newPrefixes(o.Cache)
	}
	b.account.open(o, time.Now())
	return b
}

// steps reports whether there is a cost of steps.
func (o *Options) steps() bool {
	return o.Step > 0 || o.Decode > 0 || o.Prefill > 0 || o.Roofline.on()
}

// own is the time of a request apart from steps: Latency + output tokens × PerToken.
func (o *Options) own(output int) time.Duration { return o.Latency + time.Duration(output)*o.PerToken }

// do processes a request until it is finished or ctx ends. It returns errFull if the queue is full.
func (b *batch) do(ctx context.Context, s *sequence) error {
	if d := b.o.own(s.output); b.o.steps() && d > 0 {
		if err := pass(ctx, d); err != nil {
			return err
		}
	}
	if err := b.enter(s); err != nil {
		return err
	}
	if s.told != nil {
		return b.follow(ctx, s)
	}
	select {
	case <-s.finished:
		return ctx.Err()
	case <-ctx.Done():
		b.leave(s)
		return ctx.Err()
	}
}

// pass waits for d, or until ctx ends.
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

// enter appends a request to the queue. A running step continues without it.
func (b *batch) enter(s *sequence) error {
	s.finished = make(chan struct{})
	if s.told != nil {
		s.news = make(chan struct{}, 1)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.account.advance(now)
	if s.came = now; b.full(s) {
		b.account.refused(s)
		return errFull
	}
	b.queue(s)
	b.account.entered(s)
	b.proceed(now)
	return nil
}

// full reports whether s exceeds the bound of the queue. An empty queue accepts a request of any number of tokens.
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

// leave removes a request whose client has gone: at once from the queue, at the end of the step from a slot.
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

// proceed begins the next step, unless one is running.
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

// await sets a timer for the next change of the slots if requests wait and no step runs, since the end of a step would see the change too.
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

// changed is called when the number of slots has changed.
func (b *batch) changed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.account.advance(now)
	b.proceed(now)
}

// admit gives free slots to the oldest waiting requests. Tokens of their prompts that the cache holds are not computed. The last
// token of a prompt is in no block, so that at least one token is always computed, which the answer needs (as in vLLM).
func (b *batch) admit(now time.Time) {
	budget := b.budget()
	for b.waiting.Len() > 0 && budget > 0 && (b.account.slots < 0 || b.account.running < b.account.slots) {
		if !b.fits(b.waiting.Front().Value.(*sequence)) { // the oldest waits for memory, and the others wait behind it
			return
		}
		s := b.waiting.Remove(b.waiting.Front()).(*sequence)
		s.place = nil
		s.cached = b.known(s)
		s.computed = s.cached
		b.account.admitted(s, now)
		if b.o.steps() {
			b.running = append(b.running, s)
			b.held += s.holds()
			if b.o.Roofline.on() {
				budget -= s.length() - s.computed
			}
			continue
		}
		b.compute(s, math.MaxInt)
		if d := b.o.own(s.output); d > 0 || s.endless {
			if s.endless {
				d = forever
			}
			s.timer = time.AfterFunc(d, func() { b.expire(s) })
			s.tell()
			continue
		}
		b.answer(s)
	}
}

// compute computes at most most tokens of a prompt, adds their blocks to the cache, and returns their number.
func (b *batch) compute(s *sequence, most int) int {
	n := min(s.length()-s.computed, most)
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

// answer ends a finished request. It counts the tokens that were not counted in steps.
func (b *batch) answer(s *sequence) {
	b.account.generated(s, s.output-s.made)
	b.account.answered(s)
	b.free(s)
}

// free frees the slot and ends do.
func (b *batch) free(s *sequence) {
	s.gone = true
	if b.o.steps() {
		b.held -= s.holds()
	}
	b.account.freed(s)
	close(s.finished)
}
