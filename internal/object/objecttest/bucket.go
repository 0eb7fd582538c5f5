package objecttest

import (
	"context"
	"io"
	"iter"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// Bucket has every method that an implementation must have.
type Bucket = blob.Bucket

// Reader has the methods of a bucket that only reads.
type Reader interface {
	List(ctx context.Context, prefix string) iter.Seq2[batholith.Object, error]
	Head(ctx context.Context, key string) (batholith.Object, error)
	Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error)
}

var _ Bucket = (*Memory)(nil)
