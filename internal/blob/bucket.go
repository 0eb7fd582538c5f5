package blob

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/batholith/batholith"
)

// Bucket is one bucket with the rights of one caller. Methods return errors that wrap
// batholith.ErrNoObject, ErrNoBucket, ErrAccessDenied, ErrObjectChanged or ErrRefused where
// these apply. Any other error may be temporary. Every call may be repeated safely.
type Bucket interface {
	Readable

	// List yields the objects whose keys begin with prefix, sorted by key.
	List(ctx context.Context, prefix string) iter.Seq2[batholith.Object, error]

	// Put writes the object. It returns nil only when the object is durable. After an error the
	// object may have been written nevertheless.
	Put(ctx context.Context, key string, body []byte) error
	// Delete removes objects. A missing key is not an error.
	Delete(ctx context.Context, keys ...string) error

	Multipart
}

// Readable is the part of a Bucket that reads single objects. Its errors are those of a Bucket.
type Readable interface {
	// Name returns the bucket's name.
	Name() string
	// Head returns the metadata of one object.
	Head(ctx context.Context, key string) (batholith.Object, error)
	// Read returns n bytes from offset, or everything from offset if n is negative. If etag is
	// not empty and the object has another ETag, it returns ErrObjectChanged. A stream that
	// breaks off ends with an error other than io.EOF. The caller closes the stream.
	Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error)
}

// Multipart writes one object in parts. Parts are numbered from 1. All parts except the last
// have the same size, at least 5 MiB (S3: multipart upload limits). The object is not visible
// before CompleteUpload, which returns nil only when all its bytes are durable.
type Multipart interface {
	// CreateUpload starts an upload and returns its id.
	CreateUpload(ctx context.Context, key string) (id string, err error)
	// UploadPart stores part n. It does not keep body.
	UploadPart(ctx context.Context, key, id string, n int, body []byte) (etag string, err error)
	// CompleteUpload makes the object visible. etags are those of the parts, in order.
	CompleteUpload(ctx context.Context, key, id string, etags []string) error
	// AbortUpload deletes the parts. After it returned nil, no CompleteUpload of this upload
	// takes effect any more, not even one that is already in flight.
	AbortUpload(ctx context.Context, key, id string) error
	// ListUploads yields key and id of the uploads below prefix that are neither complete nor
	// aborted. It returns ErrRefused if the store has no such list, and ErrAccessDenied if the
	// caller may not read it.
	ListUploads(ctx context.Context, prefix string) iter.Seq2[batholith.Upload, error]
}

// UploadLister is implemented by a Bucket whose store can list uploads only by their complete
// keys.
type UploadLister interface {
	// UploadsOf yields the unfinished uploads of the given keys.
	UploadsOf(ctx context.Context, prefix string, keys []string) iter.Seq2[batholith.Upload, error]
}

// Uploads lists the unfinished uploads below prefix. keys are the known keys of uploads there,
// for an [UploadLister].
func Uploads(ctx context.Context, b Bucket, prefix string, keys []string) iter.Seq2[batholith.Upload, error] {
	if l, ok := b.(UploadLister); ok {
		return l.UploadsOf(ctx, prefix, keys)
	}
	return b.ListUploads(ctx, prefix)
}

// URI returns the URI of an object for messages: s3://bucket/key, or the bucket's own form,
// such as file://, if it has a method URI.
func URI(b Readable, key string) string {
	if at, ok := b.(interface{ URI(key string) string }); ok {
		return at.URI(key)
	}
	return "s3://" + b.Name() + "/" + key
}

// Place holds the buckets of a job, accessed with the rights of its role.
type Place struct {
	Input, Output Bucket
	InputKey      string // key part of the input s3Uri: an object, or a prefix
	Prefix        string // prefix in Output of everything that the job writes: "<key of the output s3Uri>/<job id>/"

	// Media returns the bucket and the key of an object that a body names by its URI, with the
	// account that must own the bucket ("": any that may own the input). why says why the body may
	// not name it; "": it may. nil: bodies may name no objects.
	Media func(uri, owner string) (b Bucket, key, why string)

	// Renew makes the next call get the keys of the role anew. nil: they do not change.
	Renew func()
	// Allowed returns when a call with the role's keys, of any job, was last answered with
	// something other than a denial. Zero, or a nil Allowed: unknown.
	Allowed func() time.Time
}
