package objecttest

import (
	"context"
	"io"
	"iter"
	"sync"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// Distant is a bucket with a delay on every call. Tests in virtual time use it: the duration of
// a step divided by the delay of one call is the number of sequential calls in the step.
type Distant struct {
	blob.Bucket
	way *way
}

// way is the delay of a bucket, and counts the calls.
type way struct {
	trip time.Duration // delay of each call

	mu                sync.Mutex
	calls, at, atOnce int // calls so far, calls in flight, and the maximum of calls in flight
}

// NewDistant delays each call of b by trip.
func NewDistant(b blob.Bucket, trip time.Duration) Distant { return Distant{b, &way{trip: trip}} }

// Calls returns the number of calls, and the largest number of calls in flight at the same
// time.
func (d Distant) Calls() (all, atOnce int) {
	d.way.mu.Lock()
	defer d.way.mu.Unlock()
	return d.way.calls, d.way.atOnce
}

// travel counts a call and waits for trip, or until ctx ends.
func (w *way) travel(ctx context.Context) error {
	w.mu.Lock()
	w.calls++
	w.at++
	w.atOnce = max(w.atOnce, w.at)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.at--
		w.mu.Unlock()
	}()
	if w.trip == 0 {
		return nil
	}
	select {
	case <-time.After(w.trip):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Head waits and then calls the bucket, like all methods below.

func (d Distant) Head(ctx context.Context, key string) (batholith.Object, error) {
	if err := d.way.travel(ctx); err != nil {
		return batholith.Object{}, err
	}
	return d.Bucket.Head(ctx, key)
}

// Read implements blob.Bucket.
func (d Distant) Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error) {
	if err := d.way.travel(ctx); err != nil {
		return nil, err
	}
	return d.Bucket.Read(ctx, key, etag, offset, n)
}

// Put implements blob.Bucket.
func (d Distant) Put(ctx context.Context, key string, body []byte) error {
	if err := d.way.travel(ctx); err != nil {
		return err
	}
	return d.Bucket.Put(ctx, key, body)
}

// Delete implements blob.Bucket. All keys count as one call.
func (d Distant) Delete(ctx context.Context, keys ...string) error {
	if err := d.way.travel(ctx); err != nil {
		return err
	}
	return d.Bucket.Delete(ctx, keys...)
}

// CreateUpload implements blob.Bucket.
func (d Distant) CreateUpload(ctx context.Context, key string) (string, error) {
	if err := d.way.travel(ctx); err != nil {
		return "", err
	}
	return d.Bucket.CreateUpload(ctx, key)
}

// UploadPart implements blob.Bucket.
func (d Distant) UploadPart(ctx context.Context, key, id string, n int, body []byte) (string, error) {
	if err := d.way.travel(ctx); err != nil {
		return "", err
	}
	return d.Bucket.UploadPart(ctx, key, id, n, body)
}

// CompleteUpload implements blob.Bucket.
func (d Distant) CompleteUpload(ctx context.Context, key, id string, etags []string) error {
	if err := d.way.travel(ctx); err != nil {
		return err
	}
	return d.Bucket.CompleteUpload(ctx, key, id, etags)
}

// AbortUpload implements blob.Bucket.
func (d Distant) AbortUpload(ctx context.Context, key, id string) error {
	if err := d.way.travel(ctx); err != nil {
		return err
	}
	return d.Bucket.AbortUpload(ctx, key, id)
}

// List implements blob.Bucket. The whole list counts as one call.
func (d Distant) List(ctx context.Context, prefix string) iter.Seq2[batholith.Object, error] {
	if err := d.way.travel(ctx); err != nil {
		return func(yield func(batholith.Object, error) bool) { yield(batholith.Object{}, err) }
	}
	return d.Bucket.List(ctx, prefix)
}

// ListUploads implements blob.Bucket. The whole list counts as one call.
func (d Distant) ListUploads(ctx context.Context, prefix string) iter.Seq2[batholith.Upload, error] {
	if err := d.way.travel(ctx); err != nil {
		return func(yield func(batholith.Upload, error) bool) { yield(batholith.Upload{}, err) }
	}
	return d.Bucket.ListUploads(ctx, prefix)
}
