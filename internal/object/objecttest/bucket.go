package objecttest

import (
	"context"
	"io"
	"iter"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// Bucket is every verb that an implementation has.
type Bucket = blob.Bucket

// Reader is what a bucket that cannot be written has.
type Reader interface {
	List(ctx context.Context, prefix string) iter.Seq2[batholith.Object, error]
	Head(ctx context.Context, key string) (batholith.Object, error)
	Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error)
}

var _ Bucket = (*Memory)(nil)
