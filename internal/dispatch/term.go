package dispatch

import (
	"context"
	"errors"
)

// interrupt ends the present term of the lease: it cancels the job's requests in flight with the given cause.
func (f *feed) interrupt(cause error) {
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	f.lapse(cause)
	f.letGo()
}

// land waits until nothing of the job is in flight.
func (f *feed) land() {
	for {
		f.queue.mu.Lock()
		f.letGo()
		n := f.flying
		f.queue.mu.Unlock()
		if n == 0 {
			return
		}
		<-f.idle
	}
}

// errNotRenewed says that a feed waits for the next renewal of the lease. heartbeats logs why there is none.
var errNotRenewed = errors.New("the lease is not renewed yet")

// renew waits until the worker's lease is held again, releases the chunks that were claimed before, and begins a new term.
func (f *feed) renew(take context.Context) error {
	err := f.d.insist(take, "release chunks after the lease was lost", func() error {
		if !f.d.holds() {
			return errNotRenewed
		}
		return f.giveUp(take)
	})
	f.queue.mu.Lock()
	defer f.queue.mu.Unlock()
	f.term, f.lapse = context.WithCancelCause(f.life)
	return err
}

// letGo drops the records that are not in flight, with their memory, and ends the wish to claim. Their chunks are claimed again later. The
// caller holds queue.mu.
func (f *feed) letGo() {
	f.clearStage()
	f.ready, f.later, f.twins = newWalk(f.d.o.Room), nil, twins{}
	f.queue.held -= f.held
	f.held, f.dry = 0, false
	f.sample = sample{}
	clear(f.unended)
	for p := range f.loaded {
		p.hold.Release()
	}
	clear(f.loaded)
	f.holding++
	f.ungrant()
	f.wanting = false
	f.queue.grant()
}
