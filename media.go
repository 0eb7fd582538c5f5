package batholith

import (
	"context"
	"fmt"
	"io"
)

// Medium is an object whose bytes belong into the body of a [Call], in Base64. The body has Mark in their place,
// so that a large object is read while the request is sent and is never in memory as a whole.
type Medium struct {
	URI   string
	Mark  string // occurs nowhere else in the body; it is Base64 itself, as long as that of 18 bytes
	Bytes int64  // length of the object
	// Open reads the object from its start. It may be called again for another attempt. An error, also one of the
	// reader, is temporary unless it wraps one of the permanent errors of an object store.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// MediaError says that an object could not be read while its request was sent. It says nothing about the record
// or the model server.
type MediaError struct {
	URI string
	Err error
}

// Error names the object and the cause.
func (e *MediaError) Error() string { return fmt.Sprintf("read %s for a request: %v", e.URI, e.Err) }

// Unwrap returns the cause.
func (e *MediaError) Unwrap() error { return e.Err }
