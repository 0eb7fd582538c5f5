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

// instant is a moment on both clocks of this process: the wall clock in Unix nanoseconds, and the monotonic one since New.
type instant struct{ wall, mono int64 }

// before tells whether t is before u on both clocks. The wall clock may be set back, which would prolong a lease, so the monotonic clock
// counts as well; the monotonic clock stands still while the machine is suspended, in which time a worker on another machine may take
// over, so the wall clock counts as well. A wall clock that is set forward by more than a lease costs what is in flight, and nothing else.
func (t instant) before(u instant) bool { return t.wall < u.wall && t.mono < u.mono }

func (d *Dispatcher) now() instant {
	now := time.Now()
	return instant{now.UnixNano(), int64(now.Sub(d.born))}
}

// left is how long the lease lasts.
func (d *Dispatcher) left() time.Duration { return time.Duration(d.leaseMono.Load() - d.now().mono) }

// beat renews the lease once. Its end is computed before the request, so that this worker never believes in it for longer than
// the database does. If the renewal is answered after the last lease ended, it came too late, though it succeeded: in between,
// another worker may have claimed the chunks, and what is sent of them would be refused.
func (d *Dispatcher) beat(ctx context.Context) error {
	now := d.now()
	until := time.Now().Add(d.o.Lease)
	ctx, cancel := context.WithTimeout(ctx, d.o.Lease/2)
	defer cancel()
	if err := d.o.Store.Heartbeat(ctx, d.o.Worker, until); err != nil {
		return err
	}
	if d.leaseUntil.Load() != 0 && !d.holds() {
		d.loseLease() // before the next lines let records be sent again
	}
	d.leaseMono.Store(now.mono + int64(d.o.Lease))
	d.leaseUntil.Store(now.wall + int64(d.o.Lease))
	return nil
}

// holds tells whether this worker may send now.
func (d *Dispatcher) holds() bool {
	return d.now().before(instant{d.leaseUntil.Load(), d.leaseMono.Load()})
}

func (d *Dispatcher) loseLease() {
	d.o.Log.Warn("the worker's lease was lost; records in flight are called off")
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.feeds {
		f.interrupt(batholith.ErrLeaseLost)
	}
}
