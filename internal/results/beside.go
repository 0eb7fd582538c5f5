package results

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/batholith/batholith/internal/memory"
)

const (
	// closesAtOnce is how many output objects of one publication are on their way to the bucket at once, and mostCloses how many of all
	// publications, beside the one that each is at.
	closesAtOnce, mostCloses = 32, 64
	// closeFloor is what the objects of a process that are on their way may hold in any case, in bytes: small ones never wait for memory.
	closeFloor = 4 << 20
	// opensAtOnce is how many segments are opened at once.
	opensAtOnce = 32
)

// beside finishes the objects of one publication beside one another. Whatever of it is on its way to the bucket when the process dies is what
// one publisher could have left at that point before: outputs that are whole, of which each is the same from everyone, and uploads that
// the store knows under the publication's epoch. The manifest comes after wait, and so after all of them.
type beside struct {
	p     *Publisher
	ctx   context.Context
	slots *semaphore.Weighted
	tasks sync.WaitGroup

	mu  sync.Mutex
	err error // the first
}

func (p *Publisher) beside(ctx context.Context) *beside {
	return &beside{p: p, ctx: ctx, slots: semaphore.NewWeighted(closesAtOnce)}
}

// do does task, which holds so many bytes until it is done: in a goroutine when there is a slot and memory for it, or else before do returns. Its
// error is returned by a later call of do, or by wait.
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

func (b *beside) note(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	return err
}

func (b *beside) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// wait waits for all that was begun and returns the first error. Nothing of the publication is on its way any more then, as far as this
// process knows.
func (b *beside) wait() error {
	b.tasks.Wait()
	return b.failed()
}

// roomOf is the account of the objects that are on their way. A publisher that was given no room has that of one publication.
func roomOf(o PublisherOptions) *memory.Account {
	room := o.Room
	if room == nil {
		room = memory.NewBudget(16 * partBytes)
	}
	return room.Account(closeFloor)
}
