package blob

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// MinPartBytes is the smallest part but the last that S3 takes (S3: 5 MiB).
const MinPartBytes = 5 << 20

// abortTime bounds the clean-up of an upload that is given up, also when its context has ended.
const abortTime = 10 * time.Second

// WriterOptions say how a [Writer] uploads.
type WriterOptions struct {
	// PartBytes is the size of every part but the last; 0 means RangeBytes. An object of at most one part is a single Put.
	PartBytes int
	// Abortable makes every object by a multipart upload, so that another can keep it from appearing by its id. It must not be empty.
	Abortable bool
	// Size is about how long the object will be, if that is known, so that one smaller than a part takes no memory for a whole one.
	Size int64
	// Begun is told the id of a multipart upload before its first part is sent, so that a crash leaves nothing unknown behind.
	Begun func(ctx context.Context, uploadID string) error
}

// smallObject is how long an object may grow before its writer takes memory for a whole part.
const smallObject = 1 << 20

// Writer makes one object of what is written to it. The object appears, whole, when Close returns nil. Used by one goroutine.
type Writer struct {
	ctx    context.Context
	bucket Bucket
	key    string
	o      WriterOptions
	buf    []byte
	upload string
	etags  []string
	err    error
}

// NewWriter begins an object. The caller ends it with Close or Abort.
func NewWriter(ctx context.Context, b Bucket, key string, o WriterOptions) *Writer {
	if o.PartBytes == 0 {
		o.PartBytes = RangeBytes
	}
	return &Writer{ctx: ctx, bucket: b, key: key, o: o}
}

// Write takes p in. After an error nothing more is taken.
func (w *Writer) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 && w.err == nil {
		if len(w.buf) == w.o.PartBytes { // only now is it known that this part is not the last
			w.err = w.part()
			continue
		}
		n := min(len(p), w.o.PartBytes-len(w.buf))
		if len(w.buf)+n > smallObject { // doubling on the way there would waste as much again
			w.reserve(len(w.buf) + n)
		}
		w.buf = append(w.buf, p[:n]...)
		p, written = p[n:], written+n
	}
	return written, w.err
}

// reserve takes memory for the object or for a whole part, whichever is smaller; for the part when n bytes are more than was expected.
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

// part sends the buffer as the next part, after beginning the upload if this is the first.
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

// Held is how many bytes of memory the Writer holds.
func (w *Writer) Held() int64 { return int64(cap(w.buf)) }

// Close makes the object appear. On an error it has not been made, or the caller cannot know; the upload is aborted.
func (w *Writer) Close() error {
	if w.err == nil {
		w.err = w.finish()
	}
	if w.err != nil {
		return errors.Join(w.err, w.Abort())
	}
	return nil
}

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

// Abort gives up: the parts are removed and no object appears. It is harmless after Close.
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
