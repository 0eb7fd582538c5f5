// Package backoff retries an operation with exponential backoff.
//
// The nth wait is a random time between d/2 and d, where d = min(least × 2^(n−1), most). Randomness keeps many processes from retrying at the
// same moment after one outage.
//
// The package must not know the operation, nor which errors are temporary: the caller marks permanent errors with [Final].
package backoff

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/sethvargo/go-retry"
)

// Repeat calls do until it returns nil, a [Final] error, or ctx ends. It returns nil, the error inside of Final, or the cause of ctx.
// Before each wait it calls failed, which may be nil, with the error and the length of the wait.
// If ctx has ended before the first attempt, it does not call do.
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

// Final marks an error as permanent, so that Repeat returns it at once. Final(nil) is nil.
func Final(err error) error {
	if err == nil {
		return nil
	}
	return &final{err}
}

// final is the mark. Repeat removes it from the error that it returns.
type final struct{ err error }

// Error is the text of the marked error.
func (f *final) Error() string { return f.err.Error() }

// Unwrap returns the marked error.
func (f *final) Unwrap() error { return f.err }

// Waits are the waits of one series of attempts, for a loop that also waits for other events. It is not safe for concurrent use.
type Waits struct {
	nominal retry.Backoff
}

// New returns waits that double from least, which must be above 0, to most.
func New(least, most time.Duration) *Waits {
	return &Waits{retry.WithCappedDuration(most, retry.NewExponential(least))}
}

// Next is the length of the next wait.
func (w *Waits) Next() time.Duration {
	d, _ := w.nominal.Next() // the second result is only true with a bound on the number of waits
	return d - rand.N(d/2+1)
}
