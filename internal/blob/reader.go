package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/batholith/batholith"
)

// RangeBytes is the size of one range request of a [Reader]: large enough for few requests,
// small enough that repeating one is cheap.
const RangeBytes = 8 << 20

// readAttempts is how many requests for the same byte may fail before a Reader gives up.
const readAttempts = 6

// Reader reads a part of one version of an object sequentially, in range requests. If a request
// breaks off, it requests the rest again, up to readAttempts times without progress. Not safe
// for concurrent use.
type Reader struct {
	ctx       context.Context
	bucket    Readable
	key, etag string
	at, end   int64         // next byte to read; end is exclusive
	body      io.ReadCloser // open range, or nil
	bodyEnd   int64         // end of the open range, exclusive
	failures  int           // consecutive failures without a byte
}

// NewReader reads n bytes from offset. If etag is not empty, it reads only the version with
// that ETag. Cancelling ctx ends it.
func NewReader(ctx context.Context, b Readable, key, etag string, offset, n int64) *Reader {
	return &Reader{ctx: ctx, bucket: b, key: key, etag: etag, at: offset, end: offset + n}
}

// Read implements io.Reader. It returns io.EOF at the end, a permanent error of the bucket, the
// cause of ctx, or the last of readAttempts temporary errors.
func (r *Reader) Read(p []byte) (int, error) {
	for r.at < r.end {
		n, err := r.some(p)
		r.at += int64(n)
		if n > 0 {
			r.failures = 0
			return n, nil
		}
		if err != nil {
			if err := r.fault(err); err != nil {
				return 0, err
			}
		}
	}
	return 0, io.EOF
}

// some reads from the open range. If none is open, it requests the next one.
func (r *Reader) some(p []byte) (int, error) {
	if r.body == nil {
		r.bodyEnd = min(r.at+RangeBytes, r.end)
		body, err := r.bucket.Read(r.ctx, r.key, r.etag, r.at, r.bodyEnd-r.at)
		if err != nil {
			return 0, err
		}
		r.body = body
	}
	n, err := r.body.Read(p[:min(int64(len(p)), r.bodyEnd-r.at)])
	if err == io.EOF && r.at+int64(n) < r.bodyEnd {
		err = io.ErrUnexpectedEOF
	}
	if err != nil || r.at+int64(n) == r.bodyEnd {
		r.hangUp()
	}
	switch err {
	case nil, io.EOF:
		return n, nil
	}
	return n, fmt.Errorf("read %s at byte %d: %w", URI(r.bucket, r.key), r.at+int64(n), err)
}

// fault waits before the next attempt: 100 ms × 2^failures. It returns an error if reading must
// end.
func (r *Reader) fault(err error) error {
	r.failures++
	if Permanent(err) || r.failures >= readAttempts || r.ctx.Err() != nil {
		if cause := context.Cause(r.ctx); cause != nil {
			return fmt.Errorf("read %s: %w", URI(r.bucket, r.key), cause)
		}
		return err // it already names the object
	}
	select {
	case <-time.After(100 * time.Millisecond << r.failures):
	case <-r.ctx.Done():
	}
	return nil
}

// drainBytes is the largest rest of a range that Close reads to the end. A connection can be
// reused only if its answer was read completely.
const drainBytes = 128 << 10

// Close ends the open range. A later Read opens a new one.
func (r *Reader) Close() error {
	if r.body == nil {
		return nil
	}
	if left := r.bodyEnd - r.at; left <= drainBytes {
		_, _ = io.CopyN(io.Discard, r.body, left) // nobody asked for these bytes
	}
	return r.hangUp()
}

// hangUp closes the open range without reading its rest.
func (r *Reader) hangUp() error {
	err := r.body.Close()
	r.body = nil
	return err
}

// Permanent reports whether a retry of the same call is useless.
func Permanent(err error) bool {
	return errors.Is(err, batholith.ErrNoObject) || errors.Is(err, batholith.ErrNoBucket) ||
		errors.Is(err, batholith.ErrAccessDenied) || errors.Is(err, batholith.ErrObjectChanged) || errors.Is(err, batholith.ErrRefused) ||
		errors.Is(err, batholith.ErrOutcomesLost)
}

// Denied reports whether a permanent error concerns access: missing rights, a missing bucket, a
// rejected request. An operator can repair these, and the job can then continue. The other
// permanent errors concern the bytes themselves.
func Denied(err error) bool {
	about := errors.Is(err, batholith.ErrNoObject) || errors.Is(err, batholith.ErrObjectChanged) || errors.Is(err, batholith.ErrOutcomesLost)
	return Permanent(err) && !about
}
