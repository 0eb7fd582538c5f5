package events

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/batholith/batholith"
)

// Store is the outbox, and the cursors of the receivers.
type Store interface {
	// Events returns up to limit changes after the one numbered seq, in order.
	Events(ctx context.Context, seq int64, limit int) ([]batholith.Change, error)
	// Receiver returns the cursor of a receiver. A new receiver's is the number of the last change until now.
	Receiver(ctx context.Context, name string) (seq int64, err error)
	// PutReceiver moves the cursor of a receiver. It never moves back.
	PutReceiver(ctx context.Context, name string, seq int64) error
	// Find returns a job; batholith.ErrNotFound if there is none.
	Find(ctx context.Context, id string) (batholith.Job, error)
	// Subscribe returns a channel that gets a value soon after a change.
	Subscribe() (ch <-chan struct{}, cancel func())
}

// Options configures a Courier.
type Options struct {
	Store     Store
	Receivers []Receiver
	Log       *slog.Logger
	// Mine reports whether this process delivers to a receiver. nil: it always does. If two processes deliver, a receiver gets events twice.
	Mine func(ctx context.Context, receiver string) (bool, error)
	Now  func() time.Time // of the database; nil: of this process
	// Listener is told of each request.
	Listener batholith.Listener
}

// Courier delivers events.
type Courier struct {
	o Options
}

// New returns a courier. It starts nothing.
func New(o Options) *Courier {
	if o.Mine == nil {
		o.Mine = func(context.Context, string) (bool, error) { return true, nil }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Courier{o: o}
}

// lookEvery is the longest time between two looks at the outbox, and mineEvery that between two questions whose the receiver is.
const (
	lookEvery = 5 * time.Second
	mineEvery = 5 * time.Second
)

// Run delivers until ctx ends. The receivers do not wait for one another.
func (c *Courier) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for i := range c.o.Receivers {
		all.Go(func() { c.serve(ctx, &c.o.Receivers[i]) })
	}
	all.Wait()
	return context.Cause(ctx)
}

// serve delivers to one receiver, while that is this process's.
func (c *Courier) serve(ctx context.Context, r *Receiver) {
	for ctx.Err() == nil {
		mine, err := c.o.Mine(ctx, r.Name)
		if err == nil && mine {
			err = c.round(ctx, r)
		}
		if err != nil && ctx.Err() == nil {
			c.o.Log.Warn("deliver events", "receiver", r.Name, "err", err, "again_in", mineEvery)
		}
		sleep(ctx, mineEvery)
	}
}

// round delivers until the receiver is another process's, an error of the store, or the end of ctx.
func (c *Courier) round(ctx context.Context, r *Receiver) error {
	news, cancel := c.o.Store.Subscribe()
	defer cancel()
	seq, err := c.o.Store.Receiver(ctx, r.Name)
	if err != nil {
		return err
	}
	d := newDelivery(ctx, c, r, seq)
	defer d.close(ctx)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	asked := time.Now()
	for {
		if err := d.read(ctx); err != nil {
			return err
		}
		d.start()
		if err := d.keep(ctx, time.Now()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-news:
			d.more = true
		case <-look.C:
			d.more = true
		case <-d.due():
		case done := <-d.done:
			d.finish(done)
		}
		if time.Since(asked) >= mineEvery {
			asked = time.Now()
			if mine, err := c.o.Mine(ctx, r.Name); err != nil || !mine {
				return err
			}
		}
	}
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
