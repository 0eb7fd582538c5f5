package results

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/batholith/batholith/internal/memory"
)

const (
	// closesAtOnce is the number of output objects that one publication finishes in parallel. mostCloses is the number for all
	// publications, not counting one of each.
	closesAtOnce, mostCloses = 32, 64
	// closeFloor is the memory that is always granted to unfinished objects, in bytes, so that small ones never wait.
	closeFloor = 4 << 20
	// opensAtOnce is the number of segments that are opened in parallel.
	opensAtOnce = 32
)

// beside finishes the objects of one publication in parallel. A crash leaves what a crash of a sequential publication could leave: whole
// outputs, which are the same from every publisher, and uploads that the store has under the publication's epoch. The manifest is written
// after wait, and so after all outputs.
type beside struct {
	p     *Publisher
	ctx   context.Context
	slots *semaphore.Weighted
	tasks sync.WaitGroup

	mu  sync.Mutex
	err error // first error of a task
}

// beside makes the parallel tasks of one publication.
func (p *Publisher) beside(ctx context.Context) *beside {
	return &beside{p: p, ctx: ctx, slots: semaphore.NewWeighted(closesAtOnce)}
}

// do runs a task that holds that many bytes: in a goroutine if there is a slot and memory, else before do returns. The error of a task is
// returned by a later call of do, or by wait.
func (b *beside) do(bytes int64, task func() error) error {
	if err := b.failed(); err != nil {
		return err
	}
	if err := b.slots.Acquire(b.ctx, 1); err != nil {
		return context.Cause(b.ctx)
	}
	hold := b.p.closing.Hold()
	if !b.p.closes.TryAcquire(1) {
		defer b.slots.Release(1)
		return b.note(task())
	}
	if !hold.TryReserve(bytes) {
		defer b.slots.Release(1)
		defer b.p.closes.Release(1)
		return b.note(task())
	}
	b.tasks.Go(func() {
		defer b.slots.Release(1)
		defer b.p.closes.Release(1)
		defer hold.Release()
		_ = b.note(task())
	})
	return nil
}

// note keeps the first error and returns err.
func (b *beside) note(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	return err
}

// failed returns the first error so far.
func (b *beside) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// wait waits for all tasks and returns the first error. After it no request of these tasks is running in this process.
func (b *beside) wait() error {
	b.tasks.Wait()
	return b.failed()
}

// roomOf is the memory account of unfinished objects. Without PublisherOptions.Room it has room for one publication.
func roomOf(o PublisherOptions) *memory.Account {
	room := o.Room
	if room == nil {
		room = memory.NewBudget(16 * partBytes)
	}
	return room.Account(closeFloor)
}
