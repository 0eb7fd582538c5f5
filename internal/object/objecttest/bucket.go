package objecttest

import (
	"context"
	"io"
	"iter"

	"github.com/batholith/batholith/internal/object"
)

// Bucket is every verb that an implementation may have. Consumers declare the few that they use.
type Bucket interface {
	Name() string
	List(ctx context.Context, prefix string) iter.Seq2[object.Info, error]
	Head(ctx context.Context, key string) (object.Info, error)
	Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error)
	Put(ctx context.Context, key string, body []byte) error
	Delete(ctx context.Context, keys ...string) error
	CreateUpload(ctx context.Context, key string) (string, error)
	UploadPart(ctx context.Context, key, id string, n int, body []byte) (string, error)
	CompleteUpload(ctx context.Context, key, id string, etags []string) error
	AbortUpload(ctx context.Context, key, id string) error
}

// Reader is what a bucket that cannot be written has.
type Reader interface {
	List(ctx context.Context, prefix string) iter.Seq2[object.Info, error]
	Head(ctx context.Context, key string) (object.Info, error)
	Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error)
}

var (
	_ Bucket = (*object.Bucket)(nil)
	_ Bucket = (*Memory)(nil)
)
