package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/backoff"
	"github.com/batholith/batholith/internal/blob"
)

// insist is [Dispatcher.insist] for a call on behalf of the job. It reports to Options.Waits that the call fails, and later that the job
// continues.
func (f *feed) insist(ctx context.Context, what string, do func() error) error {
	began, told := time.Now(), false
	err := f.d.insist(ctx, what, func() error {
		err := do()
		if err != nil && !permanent(err) && ctx.Err() == nil {
			told = true
			f.d.o.Waits(f.job.ID, began, err)
		}
		return err
	})
	if told {
		f.d.o.Waits(f.job.ID, time.Time{}, nil)
	}
	return err
}

// insist calls do until it succeeds, fails permanently, or ctx ends, with waits that grow from 100 ms to 5 s.
func (d *Dispatcher) insist(ctx context.Context, what string, do func() error) error {
	once := func(context.Context) error {
		err := do()
		if permanent(err) {
			return backoff.Final(err)
		}
		return err
	}
	return backoff.Repeat(ctx, 100*time.Millisecond, 5*time.Second, once, func(err error, wait time.Duration) {
		if !errors.Is(err, errNotRenewed) {
			d.o.Log.Warn(what, "err", err, "again_in", wait)
		}
	})
}

// permanent reports whether retries cannot help. Denied access counts as temporary, since it may be granted again; lifecycle decides how
// long it is retried.
func permanent(err error) bool {
	if _, ok := errors.AsType[*batholith.Broken](err); ok {
		return true
	}
	return blob.Permanent(err) && !blob.Denied(err) || errors.Is(err, errIndex) || errors.Is(err, batholith.ErrMoved) || errors.Is(err, batholith.ErrNotFound)
}
