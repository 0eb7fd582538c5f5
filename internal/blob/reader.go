package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/batholith/batholith"
)

// RangeBytes is how much a [Reader] asks for at once: large enough that requests are few, small enough that a resumed one is cheap.
const RangeBytes = 8 << 20

// readAttempts bounds how often a Reader asks for the same byte in vain.
const readAttempts = 6

// Reader reads a part of one version of an object from front to back, range by range. A range that breaks off is asked for again
// from the byte that is missing, a bounded number of times. It is used by one goroutine.
type Reader struct {
	ctx       context.Context
	bucket    Bucket
	key, etag string
	at, end   int64
	body      io.ReadCloser
	bodyEnd   int64
	failures  int // since the last byte
}

// NewReader reads n bytes from offset. With an etag it reads that version only.
func NewReader(ctx context.Context, b Bucket, key, etag string, offset, n int64) *Reader {
	return &Reader{ctx: ctx, bucket: b, key: key, etag: etag, at: offset, end: offset + n}
}

// Read fills p from the object. Its errors are io.EOF at the end, what the bucket says will not pass, or the last of several faults.
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

// some reads from the open range, or opens the next.
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

// fault waits before another attempt, or returns the error that ends the reading.
func (r *Reader) fault(err error) error {
	r.failures++
	if Permanent(err) || r.failures >= readAttempts || r.ctx.Err() != nil {
		if cause := context.Cause(r.ctx); cause != nil {
			return fmt.Errorf("read %s: %w", URI(r.bucket, r.key), cause)
		}
		return err // it names the object: the bucket's own error does, and so does some
	}
	select {
	case <-time.After(100 * time.Millisecond << r.failures):
	case <-r.ctx.Done():
	}
	return nil
}

// drainBytes are read to the end of a range rather than cut off: a connection whose answer is not read to its end is lost.
const drainBytes = 128 << 10

// Close ends the open range, if any. The Reader may be used further.
func (r *Reader) Close() error {
	if r.body == nil {
		return nil
	}
	if left := r.bodyEnd - r.at; left <= drainBytes {
		_, _ = io.CopyN(io.Discard, r.body, left) // nobody asked for these bytes
	}
	return r.hangUp()
}

// hangUp ends the open range where it is.
func (r *Reader) hangUp() error {
	err := r.body.Close()
	r.body = nil
	return err
}

// Permanent tells whether a bucket's error will not pass by itself.
func Permanent(err error) bool {
	return errors.Is(err, batholith.ErrNoObject) || errors.Is(err, batholith.ErrNoBucket) ||
		errors.Is(err, batholith.ErrAccessDenied) || errors.Is(err, batholith.ErrObjectChanged) || errors.Is(err, batholith.ErrRefused) ||
		errors.Is(err, batholith.ErrOutcomesLost)
}

// Denied tells whether a bucket's permanent error is one that somebody can take back for a job that it served before: rights that were
// withdrawn, a bucket that is gone, a request that is not taken. The other permanent errors are about the bytes themselves.
func Denied(err error) bool {
	about := errors.Is(err, batholith.ErrNoObject) || errors.Is(err, batholith.ErrObjectChanged) || errors.Is(err, batholith.ErrOutcomesLost)
	return Permanent(err) && !about
}
