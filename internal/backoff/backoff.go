// Package backoff waits between the attempts at something that fails, longer each time.
//
// The nth wait is a random time between d/2 and d, d = min(least × 2^(n−1), most): so many processes that one outage held up do not
// come back at the same moment, and no wait is longer than its nominal length.
//
// The package must not know what is attempted, nor which errors may pass: the caller says which error is final.
package backoff

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/sethvargo/go-retry"
)

// Repeat calls do until it returns nil, a [Final] error, or ctx ends. It returns nil, the error inside of Final, or the cause of ctx.
// After each failure that is followed by a wait it calls failed, which may be nil, with the error and the length of the wait.
// A ctx that has ended already is no reason to call do.
func Repeat(ctx context.Context, least, most time.Duration, do func(context.Context) error, failed func(err error, wait time.Duration)) error {
	var last error
	waits := New(least, most)
	next := func() (time.Duration, bool) {
		wait := waits.Next()
		if failed != nil && ctx.Err() == nil {
			failed(last, wait)
		}
		return wait, false
	}
	return retry.Do(ctx, retry.BackoffFunc(next), func(ctx context.Context) error {
		last = do(ctx)
		if f, ok := errors.AsType[*final](last); ok {
			return f.err
		}
		return retry.RetryableError(last)
	})
}

// Final marks an error that no repetition can help. Final(nil) is nil.
func Final(err error) error {
	if err == nil {
		return nil
	}
	return &final{err}
}

// final is the mark. It does not outlive Repeat.
type final struct{ err error }

func (f *final) Error() string { return f.err.Error() }
func (f *final) Unwrap() error { return f.err }

// Waits are the waits of one series of attempts, for a loop that waits for other things besides. It is not safe for concurrent use.
type Waits struct {
	nominal retry.Backoff
}

// New returns the waits from least, which is positive, to most.
func New(least, most time.Duration) *Waits {
	return &Waits{retry.WithCappedDuration(most, retry.NewExponential(least))}
}

// Next is the length of the next wait.
func (w *Waits) Next() time.Duration {
	d, _ := w.nominal.Next() // without a bound on their number it never says stop
	return d - rand.N(d/2+1)
}
