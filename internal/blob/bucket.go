package blob

import (
	"context"
	"io"
	"iter"

	"github.com/batholith/batholith"
)

// Bucket is one bucket as one caller may use it. Its methods wrap batholith.ErrNoObject, ErrNoBucket, ErrAccessDenied,
// ErrObjectChanged and ErrRefused where they apply; any other error may pass when the call is repeated, and repeating any call is safe.
type Bucket interface {
	Name() string

	// List yields the objects whose keys begin with prefix, in the order of keys.
	List(ctx context.Context, prefix string) iter.Seq2[batholith.Object, error]
	Head(ctx context.Context, key string) (batholith.Object, error)

	// Read returns n bytes from offset, or all from there when n is negative. With an etag, an object that is another by now is
	// ErrObjectChanged. A stream that breaks off ends in an error other than io.EOF.
	Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error)

	// Put writes the object, durably, before it returns nil. After an error it may have happened all the same.
	Put(ctx context.Context, key string, body []byte) error
	// Delete removes what is there; a key that is missing is no error.
	Delete(ctx context.Context, keys ...string) error

	Multipart
}

// Multipart writes one object in parts. Parts are numbered from 1; all but the last have the same size, at least 5 MiB.
// Nothing is visible before CompleteUpload, which returns nil only when the object is there with all its bytes.
type Multipart interface {
	CreateUpload(ctx context.Context, key string) (id string, err error)
	UploadPart(ctx context.Context, key, id string, n int, body []byte) (etag string, err error)
	CompleteUpload(ctx context.Context, key, id string, etags []string) error
	// AbortUpload drops the parts. When it has returned nil no completion of the upload takes effect any more, also none that is on its way.
	AbortUpload(ctx context.Context, key, id string) error
	// ListUploads yields key and id of the uploads whose keys begin with prefix and that are neither complete nor aborted. A store
	// that has no such list, or keeps it from this caller, is ErrRefused or ErrAccessDenied.
	ListUploads(ctx context.Context, prefix string) iter.Seq2[batholith.Upload, error]
}

// UploadLister is a Bucket of a store that may list uploads by their whole keys only.
type UploadLister interface {
	UploadsOf(ctx context.Context, prefix string, keys []string) iter.Seq2[batholith.Upload, error]
}

// Uploads lists the uploads below a prefix. The keys are those below it that are known to have had one.
func Uploads(ctx context.Context, b Bucket, prefix string, keys []string) iter.Seq2[batholith.Upload, error] {
	if l, ok := b.(UploadLister); ok {
		return l.UploadsOf(ctx, prefix, keys)
	}
	return b.ListUploads(ctx, prefix)
}

// URI names an object for people and programs: a bucket whose objects have addresses of their own, as files have, tells it.
func URI(b Bucket, key string) string {
	if at, ok := b.(interface{ URI(key string) string }); ok {
		return at.URI(key)
	}
	return "s3://" + b.Name() + "/" + key
}

// Place is where a job's bytes lie, as its role reaches them.
type Place struct {
	Input, Output Bucket
	InputKey      string // key part of the input s3Uri: an object, or a prefix
	Prefix        string // of everything the job writes, in Output: "<key part of the output s3Uri>/<job id>/"
}
