package dispatch

import (
	"context"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/failpoint"
)

// A pause, and what a crash leaves after each step:
//
//	the pause is stored   no chunk is claimed any more; chunks of this worker are released at its start, as after any crash
//	Rest: nothing new     a record that was taken and not sent is dropped, and one that fails is not retried: its chunk has no outcome for it
//	in flight: landed     outcomes are journalled; the next start commits them
//	committed             the counters have them; the chunks are still leased, until the start or the end of the lease
//	unreserved            the same; what is reserved under a cap is given up here, or at the start
//	released              nothing is held: no slot, no memory, no lease
//
// A stop or the deadline may come at any of them: Halt then cancels what is in flight.

// Rest stops sending a job's records. Requests in flight go on; their outcomes are kept and committed, but none of their records is sent
// again. Rest returns when nothing is in flight and the worker has released the job's chunks, or with the cause of ctx. Enqueue lets the job
// go on.
func (d *Dispatcher) Rest(ctx context.Context, job string) error {
	d.mu.Lock()
	f := d.feeds[job]
	delete(d.parked, job)
	if f != nil {
		f.next = nil
		f.resting.Store(true)
		f.cease(batholith.ErrPaused)
	}
	d.mu.Unlock()
	if f != nil {
		f.queue.remove(f)
		select {
		case <-f.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return d.insist(ctx, "release the chunks of a paused job", func() error {
		if err := d.o.Sink.Flush(ctx, job); err != nil {
			return err
		}
		failpoint.Here("dispatch.rested")
		if err := d.unreserve(ctx, f, job); err != nil {
			return err
		}
		failpoint.Here("dispatch.unreserved")
		err := d.o.Store.Release(ctx, d.o.Worker, job)
		failpoint.Here("dispatch.let-go")
		return err
	})
}

// over reports whether the record must not be sent any more: its lease or its job has ended, or the job rests.
func (it *item) over() bool { return it.term.Err() != nil || it.feed.resting.Load() }
