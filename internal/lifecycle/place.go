package lifecycle

import (
	"context"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// places bounds how many validations read in parallel. Principals that wait get places in turn, so that one with many jobs does not delay
// the others. A principal's jobs get places in order of arrival.
type places struct {
	perOwner int // places that one principal may hold; 0: all

	mu     sync.Mutex
	free   int
	queue  []*ticket
	held   map[string]int   // places held, by principal
	served map[string]int64 // value of turn when a principal got its last place
	turn   int64            // places granted so far
}

// ticket is one validation that waits for a place.
type ticket struct {
	owner string
	given chan struct{} // closed under places.mu when the place is granted
}

// newPlaces makes n places, of which one principal may hold perOwner (0: all).
func newPlaces(n, perOwner int) *places {
	return &places{free: n, perOwner: perOwner, held: map[string]int{}, served: map[string]int64{}}
}

// take waits for a place. If ctx ends first, it returns the cause of ctx. The caller must call give after nil.
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
	} else { // the place was granted at the same moment
		p.release(owner)
	}
	return context.Cause(ctx)
}

// give returns a place.
func (p *places) give(owner string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.release(owner)
}

// release returns a place. The caller holds mu.
func (p *places) release(owner string) {
	p.free++
	if p.held[owner]--; p.held[owner] == 0 {
		delete(p.held, owner)
	}
	p.grant()
}

// grant gives free places to the principals that hold the fewest, and between equals to the one whose last place is the longest ago. The
// caller holds mu.
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
		clear(p.served) // nobody waits, so the order is not needed
	}
}

// ahead returns how many validations wait, and whether another principal's job is among them.
func (p *places) ahead(owner string) (n int, others bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.queue {
		others = others || t.owner != owner
	}
	return len(p.queue), others
}

// flow counts the bytes that a validation reads and its running calls to the buckets.
type flow struct {
	bytes atomic.Int64
	calls atomic.Int64
}

// call counts a call as running until the returned function is called.
func (f *flow) call() (done func()) {
	f.calls.Add(1)
	return func() { f.calls.Add(-1) }
}

// counted is a reader that counts its reads in a flow.
type counted struct {
	io.ReadCloser
	f *flow
}

// Read implements [io.Reader].
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

// watch calls slow, at most once, when a validation is slow while another principal's job waits for a place. It returns when ctx ends.
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
