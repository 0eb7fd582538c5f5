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

// Distant is a bucket that every call takes some time to reach and come back from. It is for tests in virtual time: what a step takes there,
// divided by the time of one call, is how many rounds of calls the step waits for.
type Distant struct {
	blob.Bucket
	way *way
}

// way is how far a bucket is, and who is on the way.
type way struct {
	trip time.Duration

	mu                sync.Mutex
	calls, at, atOnce int
}

// NewDistant puts a bucket so far away.
func NewDistant(b blob.Bucket, trip time.Duration) Distant { return Distant{b, &way{trip: trip}} }

// Calls returns how many calls there were, and how many of them at the same time at most.
func (d Distant) Calls() (all, atOnce int) {
	d.way.mu.Lock()
	defer d.way.mu.Unlock()
	return d.way.calls, d.way.atOnce
}

// travel makes a call wait.
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

// The calls of the bucket, each after its way.

func (d Distant) Head(ctx context.Context, key string) (batholith.Object, error) {
	if err := d.way.travel(ctx); err != nil {
		return batholith.Object{}, err
	}
	return d.Bucket.Head(ctx, key)
}

func (d Distant) Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error) {
	if err := d.way.travel(ctx); err != nil {
		return nil, err
	}
	return d.Bucket.Read(ctx, key, etag, offset, n)
}

func (d Distant) Put(ctx context.Context, key string, body []byte) error {
	if err := d.way.travel(ctx); err != nil {
		return err
	}
	return d.Bucket.Put(ctx, key, body)
}

func (d Distant) Delete(ctx context.Context, keys ...string) error {
	if err := d.way.travel(ctx); err != nil {
		return err
	}
	return d.Bucket.Delete(ctx, keys...)
}

func (d Distant) CreateUpload(ctx context.Context, key string) (string, error) {
	if err := d.way.travel(ctx); err != nil {
		return "", err
	}
	return d.Bucket.CreateUpload(ctx, key)
}

func (d Distant) UploadPart(ctx context.Context, key, id string, n int, body []byte) (string, error) {
	if err := d.way.travel(ctx); err != nil {
		return "", err
	}
	return d.Bucket.UploadPart(ctx, key, id, n, body)
}

func (d Distant) CompleteUpload(ctx context.Context, key, id string, etags []string) error {
	if err := d.way.travel(ctx); err != nil {
		return err
	}
	return d.Bucket.CompleteUpload(ctx, key, id, etags)
}

func (d Distant) AbortUpload(ctx context.Context, key, id string) error {
	if err := d.way.travel(ctx); err != nil {
		return err
	}
	return d.Bucket.AbortUpload(ctx, key, id)
}

func (d Distant) List(ctx context.Context, prefix string) iter.Seq2[batholith.Object, error] {
	if err := d.way.travel(ctx); err != nil {
		return func(yield func(batholith.Object, error) bool) { yield(batholith.Object{}, err) }
	}
	return d.Bucket.List(ctx, prefix)
}

func (d Distant) ListUploads(ctx context.Context, prefix string) iter.Seq2[batholith.Upload, error] {
	if err := d.way.travel(ctx); err != nil {
		return func(yield func(batholith.Upload, error) bool) { yield(batholith.Upload{}, err) }
	}
	return d.Bucket.ListUploads(ctx, prefix)
}
