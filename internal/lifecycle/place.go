package lifecycle

import (
	"context"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// places bounds how many validations read at once. They are handed out in turn to the principals that wait, so that one with many jobs
// does not keep the others waiting, and to each principal's jobs in the order in which they came.
type places struct {
	perOwner int // places that one principal may hold; 0: all

	mu     sync.Mutex
	free   int
	queue  []*ticket
	held   map[string]int   // by principal
	served map[string]int64 // when a principal got its last place, as a number that rises
	turn   int64
}

// ticket is one validation that waits for a place.
type ticket struct {
	owner string
	given chan struct{} // closed, under the mutex, when it has its place
}

func newPlaces(n, perOwner int) *places {
	return &places{free: n, perOwner: perOwner, held: map[string]int{}, served: map[string]int64{}}
}

// take waits for a place. Its error is the cause of ctx.
func (p *places) take(ctx context.Context, owner string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	t := &ticket{owner: owner, given: make(chan struct{})}
	p.mu.Lock()
	p.queue = append(p.queue, t)
	p.grant()
	p.mu.Unlock()
	select {
	case <-t.given:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.queue, t); i >= 0 {
		p.queue = slices.Delete(p.queue, i, i+1)
	} else { // it was given at the same moment
		p.release(owner)
	}
	return context.Cause(ctx)
}

// give gives a place back.
func (p *places) give(owner string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.release(owner)
}

// release gives a place back. The caller holds mu.
func (p *places) release(owner string) {
	p.free++
	if p.held[owner]--; p.held[owner] == 0 {
		delete(p.held, owner)
	}
	p.grant()
}

// grant hands out what is free. The caller holds mu.
func (p *places) grant() {
	for p.free > 0 {
		next := -1
		for i, t := range p.queue {
			if p.perOwner > 0 && p.held[t.owner] >= p.perOwner {
				continue
			}
			if next < 0 || p.held[t.owner] < p.held[p.queue[next].owner] ||
				p.held[t.owner] == p.held[p.queue[next].owner] && p.served[t.owner] < p.served[p.queue[next].owner] {
				next = i
			}
		}
		if next < 0 {
			break
		}
		t := p.queue[next]
		p.queue = slices.Delete(p.queue, next, next+1)
		p.free--
		p.held[t.owner]++
		p.turn++
		p.served[t.owner] = p.turn
		close(t.given)
	}
	if len(p.queue) == 0 && len(p.held) == 0 {
		clear(p.served) // nobody waits: whose turn it was does not matter any more
	}
}

// ahead returns how many wait, and whether one of them is another principal's job.
func (p *places) ahead(owner string) (n int, others bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.queue {
		others = others || t.owner != owner
	}
	return len(p.queue), others
}

// flow counts what a validation reads and how many of its calls to the buckets are under way.
type flow struct {
	bytes atomic.Int64
	calls atomic.Int64
}

// call counts a call until the returned function is called.
func (f *flow) call() (done func()) {
	f.calls.Add(1)
	return func() { f.calls.Add(-1) }
}

// counted is a reader whose reads a flow counts.
type counted struct {
	io.ReadCloser
	f *flow
}

func (c counted) Read(p []byte) (int, error) {
	defer c.f.call()()
	n, err := c.ReadCloser.Read(p)
	c.f.bytes.Add(int64(n))
	return n, err
}

// A validation that reads less than slowBytes in slowTime, while its calls to the buckets are under way, is slow.
const (
	slowTime  = 5 * time.Second
	slowBytes = 1 << 20
)

// watch calls slow, once, when a validation is slow while another principal's job waits for its place, and returns when ctx ends.
func (p *places) watch(ctx context.Context, owner string, f *flow, slow func()) {
	before := f.bytes.Load()
	for ctx.Err() == nil {
		sleep(ctx, slowTime)
		now := f.bytes.Load()
		if _, others := p.ahead(owner); others && now-before < slowBytes && f.calls.Load() > 0 && ctx.Err() == nil {
			slow()
			return
		}
		before = now
	}
}
