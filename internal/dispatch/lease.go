package dispatch

import (
	"context"
	"time"

	"github.com/batholith/batholith"
)

// heartbeats renews the worker's lease five times in its length until ctx ends. When it could not be renewed in time, every feed is
// called off with ErrLeaseLost: another worker may own the chunks by now. The feeds begin again by themselves once it is renewed.
func (d *Dispatcher) heartbeats(ctx context.Context) {
	tick := time.NewTicker(d.o.Lease / 5)
	defer tick.Stop()
	end := time.AfterFunc(d.left(), d.loseLease) // also while a renewal is on its way
	defer end.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := d.beat(ctx); err != nil {
			if ctx.Err() == nil {
				d.o.Log.Warn("renew the worker's lease", "err", err)
			}
			continue
		}
		end.Reset(d.left())
	}
}

// left is how long the lease lasts.
func (d *Dispatcher) left() time.Duration { return time.Until(time.Unix(0, d.leaseUntil.Load())) }

// beat renews the lease once. Its end is reckoned from before the request, so that this worker never believes in it for longer than
// the database does. A renewal that is answered when the lease before has run out came too late, though it succeeded: in between,
// another worker may have claimed the chunks, and what is sent of them would be refused.
func (d *Dispatcher) beat(ctx context.Context) error {
	until := time.Now().Add(d.o.Lease)
	ctx, cancel := context.WithTimeout(ctx, d.o.Lease/2)
	defer cancel()
	if err := d.o.Store.Heartbeat(ctx, d.o.Worker, until); err != nil {
		return err
	}
	if d.leaseUntil.Load() != 0 && !d.holds() {
		d.loseLease() // before the next line lets records be sent again
	}
	d.leaseUntil.Store(until.UnixNano())
	return nil
}

// holds tells whether this worker may send now.
func (d *Dispatcher) holds() bool { return time.Now().UnixNano() < d.leaseUntil.Load() }

func (d *Dispatcher) loseLease() {
	d.o.Log.Warn("the worker's lease was lost; records in flight are called off")
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.feeds {
		f.interrupt(batholith.ErrLeaseLost)
	}
}
