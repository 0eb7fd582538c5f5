package results

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Bounds of merges that run in parallel. Each takes about 10 MiB of memory, and 14 MiB if its bucket is distant.
const (
	mergesAtOnce   = 4 // in all buckets whose last merge succeeded
	mergesByBucket = 2 // in one bucket
	mergesOfUnwell = 1 // in all buckets whose last merge failed
)

// merges merges the segments of jobs in the background, with one goroutine for each job that has some to merge. A bucket whose last merge
// failed is unwell until a merge succeeds. Merges in unwell buckets have slots of their own: a bucket that always fails, or hangs, takes a
// slot of the others only once.
type merges struct {
	slots, sick chan struct{} // one token for each running merge

	mu      sync.Mutex
	jobs    map[string]bool // jobs with a goroutine; true: new segments came since it last looked
	buckets map[string]*mergingBucket
}

// mergingBucket is a bucket in which segments were merged.
type mergingBucket struct {
	slots  chan struct{}
	unwell bool // guarded by merges.mu
}

// newMerges makes the bounds; nothing runs yet.
func newMerges() *merges {
	return &merges{slots: make(chan struct{}, mergesAtOnce), sick: make(chan struct{}, mergesOfUnwell), jobs: map[string]bool{},
		buckets: map[string]*mergingBucket{}}
}

// offerMerge notes that a job has one segment more. If too many jobs wait for a merge it does nothing; the job's next segment offers it
// again.
func (w *Writer) offerMerge(job string) {
	select {
	case w.merges <- job:
	default:
	}
}

// mergeAll merges segments in the background until ctx ends. It returns when no merge runs any more.
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

// begin reports whether the job needs a goroutine. If it has one, that one looks again.
func (m *merges) begin(job string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, running := m.jobs[job]
	m.jobs[job] = running
	return !running
}

// again reports whether the goroutine of a job must look again. If not, the goroutine must end.
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

// mergeOften merges a job's segments until no new ones come.
func (w *Writer) mergeOften(ctx context.Context, m *merges, job string) {
	for ok := true; ok; ok = m.again(job) {
		if err := w.mergeInTurn(ctx, m, job); err != nil && ctx.Err() == nil {
			w.o.Log.Info("segments stay unmerged for now", "job", job, "err", err)
		}
	}
}

// mergeInTurn merges a job's segments when there is a slot. It takes no slot if there is nothing to merge, which is usual.
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

// enter waits for a slot for a bucket. The caller must call leave at the end, with whether the merge failed.
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

// acquire puts a token into a channel whose capacity is the number of slots. It returns the cause of ctx if that ends first.
func acquire(ctx context.Context, slots chan struct{}) error {
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
