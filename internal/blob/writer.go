package blob

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// MinPartBytes is the minimum size of every part except the last (S3: 5 MiB).
const MinPartBytes = 5 << 20

// abortTime bounds the abort of an upload. The abort runs even if the Writer's context has been
// cancelled.
const abortTime = 10 * time.Second

// WriterOptions configure a [Writer].
type WriterOptions struct {
	// PartBytes is the size of every part except the last; 0 means RangeBytes. An object of at
	// most one part is written with a single Put.
	PartBytes int
	// Abortable uses a multipart upload for every object, so that another process can prevent
	// it by aborting the upload id. The object must not be empty.
	Abortable bool
	// Size is the expected length in bytes, 0 if unknown. It saves memory for objects smaller
	// than a part.
	Size int64
	// Begun is called with the id of a multipart upload before its first part is sent. The
	// caller stores the id, so that the upload can be aborted after a crash.
	Begun func(ctx context.Context, uploadID string) error
}

// smallObject is the number of bytes up to which the buffer grows as needed. Beyond it, memory
// for a whole part is allocated.
const smallObject = 1 << 20

// Writer creates one object from the bytes written to it. The complete object appears when
// Close returns nil. Not safe for concurrent use.
type Writer struct {
	ctx    context.Context
	bucket Bucket
	key    string
	o      WriterOptions
	buf    []byte // the part that is being filled
	upload string // id of the multipart upload; empty: not begun
	etags  []string
	err    error // first error; all later calls return it
}

// NewWriter starts an object. The caller must call Close or Abort.
func NewWriter(ctx context.Context, b Bucket, key string, o WriterOptions) *Writer {
	if o.PartBytes == 0 {
		o.PartBytes = RangeBytes
	}
	return &Writer{ctx: ctx, bucket: b, key: key, o: o}
}

// Write appends p. After an error it accepts nothing more.
func (w *Writer) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 && w.err == nil {
		if len(w.buf) == w.o.PartBytes { // more bytes follow, so this part is not the last
			w.err = w.part()
			continue
		}
		n := min(len(p), w.o.PartBytes-len(w.buf))
		if len(w.buf)+n > smallObject { // append would double the buffer and waste up to half of it
			w.reserve(len(w.buf) + n)
		}
		w.buf = append(w.buf, p[:n]...)
		p, written = p[n:], written+n
	}
	return written, w.err
}

// reserve allocates the buffer: Size + 1/64 if that is less than a part and n fits, otherwise a
// whole part.
func (w *Writer) reserve(n int) {
	if n <= cap(w.buf) {
		return
	}
	size := w.o.PartBytes
	if expected := w.o.Size + w.o.Size/64; int64(n) <= expected && expected < int64(size) {
		size = int(expected)
	}
	w.buf = append(make([]byte, 0, size), w.buf...)
}

// part uploads the buffer as the next part. It begins the multipart upload before the first.
func (w *Writer) part() error {
	if w.upload == "" {
		id, err := w.bucket.CreateUpload(w.ctx, w.key)
		if err != nil {
			return fmt.Errorf("begin upload of %s: %w", w.key, err)
		}
		w.upload = id
		if w.o.Begun != nil {
			if err := w.o.Begun(w.ctx, id); err != nil {
				return err
			}
		}
	}
	etag, err := w.bucket.UploadPart(w.ctx, w.key, w.upload, len(w.etags)+1, w.buf)
	if err != nil {
		return fmt.Errorf("upload part %d of %s: %w", len(w.etags)+1, w.key, err)
	}
	w.etags, w.buf = append(w.etags, etag), w.buf[:0]
	return nil
}

// Held returns how many bytes of memory the Writer holds.
func (w *Writer) Held() int64 { return int64(cap(w.buf)) }

// Close makes the object visible. On an error the upload is aborted; the object may exist
// nevertheless if the error came from the last request.
func (w *Writer) Close() error {
	if w.err == nil {
		w.err = w.finish()
	}
	if w.err != nil {
		return errors.Join(w.err, w.Abort())
	}
	return nil
}

// finish sends the rest: as a single Put, or as the last part and the completion.
func (w *Writer) finish() error {
	if w.upload == "" && !w.o.Abortable {
		if err := w.bucket.Put(w.ctx, w.key, w.buf); err != nil {
			return fmt.Errorf("put %s: %w", w.key, err)
		}
		return nil
	}
	if len(w.buf) > 0 {
		if err := w.part(); err != nil {
			return err
		}
	}
	if err := w.bucket.CompleteUpload(w.ctx, w.key, w.upload, w.etags); err != nil {
		return fmt.Errorf("complete %s: %w", w.key, err)
	}
	w.upload = ""
	return nil
}

// Abort deletes the uploaded parts; no object appears. After Close it does nothing.
func (w *Writer) Abort() error {
	if w.upload == "" {
		return nil
	}
	id := w.upload
	w.upload = ""
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), abortTime)
	defer cancel()
	return w.bucket.AbortUpload(ctx, w.key, id)
}
