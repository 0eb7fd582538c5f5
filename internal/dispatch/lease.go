package dispatch

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/batholith/batholith"
)

// heartbeats renews the worker's lease every fifth of its length until ctx ends, and sooner when the lease of another worker ends. It logs
// the first failure of a row. If the lease ends without a renewal, it cancels all feeds with ErrLeaseLost, because another worker may claim
// their chunks. The feeds restart after the next renewal.
func (d *Dispatcher) heartbeats(ctx context.Context) {
	tick := time.NewTimer(d.o.Lease / 5)
	defer tick.Stop()
	ended, _ := d.leases()
	end := time.AfterFunc(d.left(), d.loseLease) // fires even while a renewal hangs
	defer end.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		tick.Reset(d.o.Lease / 5)
		if err := d.beat(ctx); err != nil {
			if ctx.Err() == nil && d.unrenewed.Swap(&err) == nil {
				d.o.Log.Warn("the worker's lease cannot be renewed in the database; Batholith retries automatically", "again_in", d.o.Lease/5, "err", err)
			}
			continue
		}
		d.unrenewed.Store(nil)
		d.lost.Store(false)
		end.Reset(d.left())
		now, next := d.leases()
		if now > ended {
			d.inherit()
		}
		ended = now
		if left := time.Until(next); left > 0 && left < d.o.Lease/5 {
			tick.Reset(left + time.Millisecond)
		}
	}
}

// leases is Options.Leases.
func (d *Dispatcher) leases() (ended int, next time.Time) {
	if d.o.Leases == nil {
		return 0, time.Time{}
	}
	return d.o.Leases()
}

// inherit makes all jobs look for chunks of a worker that is lost or has left.
func (d *Dispatcher) inherit() {
	d.mu.Lock()
	queues := slices.Collect(maps.Values(d.queues))
	d.mu.Unlock()
	for _, q := range queues {
		q.mu.Lock()
		for _, f := range q.feeds {
			f.inherits = true
			f.nudge()
		}
		q.grant()
		q.mu.Unlock()
	}
}

// instant is a time on both clocks of this process: the wall clock in Unix nanoseconds, and the monotonic clock in nanoseconds since New.
type instant struct{ wall, mono int64 }

// before reports whether t is before u on both clocks. Each clock alone could prolong a lease: the wall clock may be set back, and the
// monotonic clock stops while the machine is suspended. If the wall clock is set forward by more than a lease, requests in flight are
// cancelled and sent again; nothing else is lost.
func (t instant) before(u instant) bool { return t.wall < u.wall && t.mono < u.mono }

// now reads both clocks.
func (d *Dispatcher) now() instant {
	now := time.Now()
	return instant{now.UnixNano(), int64(now.Sub(d.born))}
}

// left is the time until the lease ends, by the monotonic clock.
func (d *Dispatcher) left() time.Duration { return time.Duration(d.leaseMono.Load() - d.now().mono) }

// beat renews the lease once. It computes the new end before the request, so this worker never believes in the lease for longer than the
// database does. A renewal that succeeds after the old lease has ended counts as a lost lease: another worker may have claimed the chunks
// in between, and the store would refuse this worker's outcomes.
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

// holds reports whether the lease lasts, so that this worker may send.
func (d *Dispatcher) holds() bool {
	return d.now().before(instant{d.leaseUntil.Load(), d.leaseMono.Load()})
}

// loseLease cancels the requests in flight of all feeds. It logs this once until the next renewal, with the error of the last failed one.
func (d *Dispatcher) loseLease() {
	if !d.lost.Swap(true) {
		attrs := []any{}
		if err := d.unrenewed.Load(); err != nil {
			attrs = []any{"err", *err}
		}
		d.o.Log.Warn("the worker's lease has expired, so its requests in flight are cancelled; they are sent again when the database renews the lease", attrs...)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.feeds {
		f.interrupt(batholith.ErrLeaseLost)
	}
	for _, h := range d.hosts {
		h.limit.Left(true)
	}
	d.share()
}
