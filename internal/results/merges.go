package results

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Bounds of the merges that go on at once. Each takes about 10 MiB, and 14 MiB from a distant bucket.
const (
	mergesAtOnce   = 4 // of all buckets that are well
	mergesByBucket = 2
	mergesOfUnwell = 1 // of all buckets whose last merge failed
)

// merges has the segments of jobs merged in the background, by one goroutine for each job that has some. A bucket whose last merge failed is
// unwell until one succeeds. Buckets that are unwell wait for one another and hold up nobody else: one that fails again and again, or
// hangs, takes a slot of the others only once.
type merges struct {
	slots, sick chan struct{} // one token for each merge that goes on

	mu      sync.Mutex
	jobs    map[string]bool // that have a goroutine; true when there may be more to merge than it has seen
	buckets map[string]*mergingBucket
}

// mergingBucket is a bucket that segments were merged in.
type mergingBucket struct {
	slots  chan struct{}
	unwell bool // guarded by merges.mu
}

func newMerges() *merges {
	return &merges{slots: make(chan struct{}, mergesAtOnce), sick: make(chan struct{}, mergesOfUnwell), jobs: map[string]bool{},
		buckets: map[string]*mergingBucket{}}
}

// offerMerge says that a job has a segment more. When too many jobs wait for a merge it is forgotten; the next one says so again.
func (w *Writer) offerMerge(job string) {
	select {
	case w.merges <- job:
	default:
	}
}

// mergeAll merges segments in the background until ctx ends, and returns when no merge goes on.
func (w *Writer) mergeAll(ctx context.Context) {
	m := newMerges()
	var g errgroup.Group
	defer g.Wait()
	for {
		select {
		case job := <-w.merges:
			if m.begin(job) {
				g.Go(func() error { w.mergeOften(ctx, m, job); return nil })
			}
		case <-ctx.Done():
			return
		}
	}
}

// begin tells whether the job needs a goroutine. One that it has is told to look again.
func (m *merges) begin(job string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, running := m.jobs[job]
	m.jobs[job] = running
	return !running
}

// again tells the goroutine of a job whether there may be more to merge; when there is not, the goroutine is over.
func (m *merges) again(job string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.jobs[job] {
		delete(m.jobs, job)
		return false
	}
	m.jobs[job] = false
	return true
}

// mergeOften merges a job's segments while it gets more of them.
func (w *Writer) mergeOften(ctx context.Context, m *merges, job string) {
	for ok := true; ok; ok = m.again(job) {
		if err := w.mergeInTurn(ctx, m, job); err != nil && ctx.Err() == nil {
			w.o.Log.Info("segments stay unmerged for now", "job", job, "err", err)
		}
	}
}

// mergeInTurn merges a job's segments when its bucket has a slot. Most jobs have nothing to merge most of the time, which takes no slot.
func (w *Writer) mergeInTurn(ctx context.Context, m *merges, job string) error {
	segs, err := w.o.Store.Segments(ctx, job)
	if err != nil || w.mergeable(segs) == nil {
		return err
	}
	place, err := w.o.Open(ctx, job)
	if err != nil {
		return fmt.Errorf("open the bucket: %w", err)
	}
	leave, err := m.enter(ctx, place.Output.Name())
	if err != nil {
		return err
	}
	err = w.mergeJob(ctx, job)
	leave(err != nil)
	return err
}

// enter waits for a slot of a bucket. The slot is given back by leave, which is told whether the merge failed.
func (m *merges) enter(ctx context.Context, bucket string) (leave func(failed bool), err error) {
	m.mu.Lock()
	b := m.buckets[bucket]
	if b == nil {
		b = &mergingBucket{slots: make(chan struct{}, mergesByBucket)}
		m.buckets[bucket] = b
	}
	m.mu.Unlock()
	if err := acquire(ctx, b.slots); err != nil {
		return nil, err
	}
	m.mu.Lock()
	slots := m.slots
	if b.unwell {
		slots = m.sick
	}
	m.mu.Unlock()
	if err := acquire(ctx, slots); err != nil {
		<-b.slots
		return nil, err
	}
	return func(failed bool) {
		m.mu.Lock()
		b.unwell = failed
		m.mu.Unlock()
		<-slots
		<-b.slots
	}, nil
}

// acquire puts a token into a channel that has room for as many as may work at once.
func acquire(ctx context.Context, slots chan struct{}) error {
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
