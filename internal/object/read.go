package object

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith"
)

// stallLimit is how long a read waits for the answer's header or for the next byte before it
// fails.
const stallLimit = time.Minute

// errStalled is the cause when stallLimit has passed.
var errStalled = errors.New("no byte arrived for a minute")

// Read returns n bytes of an object from offset. n < 0 means to its end; n = 0 sends no
// request. If etag is not empty and the object has another ETag, Read returns
// batholith.ErrObjectChanged. The reader returns every requested byte or an error:
// io.ErrUnexpectedEOF if the answer or the object ends early. The caller closes it.
func (b *Bucket) Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error) {
	if n == 0 {
		return io.NopCloser(strings.NewReader("")), nil
	}
	in := &s3.GetObjectInput{Bucket: &b.name, Key: &key, ExpectedBucketOwner: b.owner, Range: byteRange(offset, n)}
	if etag != "" {
		in.IfMatch = quote(etag)
	}
	// The watch limits the wait for the answer's header, and later each wait for bytes.
	watched, watch := newWatch(ctx)
	out, err := b.api.GetObject(watched, in)
	watch.rest()
	// The range begins at or after the end of the object.
	if code(err) == "InvalidRange" {
		watch.cancel(nil)
		return b.atEnd(ctx, key, offset, n)
	}
	if err != nil {
		err = watch.blame(err)
		watch.cancel(nil)
		return nil, explain(err, "read", b.name, key)
	}
	if got := unquote(out.ETag); etag != "" && got != "" && got != etag { // some servers ignore If-Match
		watch.cancel(nil)
		out.Body.Close()
		return nil, fmt.Errorf("read %s: %w", uri(b.name, key), batholith.ErrObjectChanged)
	}
	// Without this check, bytes from the wrong place would be returned.
	if offset > 0 && aws.ToString(out.ContentRange) == "" {
		watch.cancel(nil)
		out.Body.Close()
		return nil, fmt.Errorf("read %s: the endpoint answers a range with the whole object", uri(b.name, key))
	}
	return &reader{body: out.Body, watch: watch, want: expected(n, out.ContentLength), uri: uri(b.name, key)}, nil
}

// atEnd handles a range without bytes. Reading from the end to the end (n < 0) is valid and
// empty.
func (b *Bucket) atEnd(ctx context.Context, key string, offset, n int64) (io.ReadCloser, error) {
	if info, err := b.Head(ctx, key); err == nil && n < 0 && info.Bytes == offset {
		return io.NopCloser(strings.NewReader("")), nil
	}
	return nil, fmt.Errorf("read %s from byte %d: %w", uri(b.name, key), offset, io.ErrUnexpectedEOF)
}

// byteRange returns the Range header, or nil for the whole object. A range would be an error
// for an empty object.
func byteRange(offset, n int64) *string {
	switch {
	case n > 0:
		return aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+n-1))
	case offset > 0:
		return aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	return nil
}

// expected returns the number of bytes that the reader must deliver: n, or the answer's
// Content-Length if n < 0; -1: unknown.
func expected(n int64, length *int64) int64 {
	if n < 0 && length != nil {
		return *length
	}
	return n
}

// reader is the body of an answer that must contain want bytes.
type reader struct {
	body  io.ReadCloser
	watch *watch
	want  int64 // bytes still to come; -1: unknown
	uri   string
}

// Read implements io.Reader. It fails after stallLimit without a byte.
func (r *reader) Read(p []byte) (int, error) {
	if r.want == 0 {
		return 0, io.EOF
	}
	if r.want > 0 && int64(len(p)) > r.want {
		p = p[:r.want]
	}
	r.watch.arm()
	n, err := r.body.Read(p)
	r.watch.rest()
	if r.want > 0 {
		r.want -= int64(n)
	}
	switch {
	case err == nil, err == io.EOF && r.want <= 0:
		return n, err
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	if r.want == 0 { // all bytes have come; later errors of the connection do not matter
		return n, io.EOF
	}
	return n, fmt.Errorf("read %s: %w", r.uri, r.watch.blame(err))
}

// Close ends the read and frees its connection.
func (r *reader) Close() error {
	r.watch.cancel(nil)
	return r.body.Close()
}

// watch cancels a context if a single wait takes longer than stallLimit. Time between waits
// does not count. The first wait starts in newWatch.
type watch struct {
	cancel context.CancelCauseFunc
	timer  *time.Timer
	fired  *atomic.Bool // the watch has cancelled the context
}

func newWatch(ctx context.Context) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	fired := new(atomic.Bool)
	timer := time.AfterFunc(stallLimit, func() {
		fired.Store(true)
		cancel(errStalled)
	})
	return ctx, &watch{cancel: cancel, timer: timer, fired: fired}
}

// arm starts a wait, rest ends it.
func (w *watch) arm()  { w.timer.Reset(stallLimit) }
func (w *watch) rest() { w.timer.Stop() }

// blame replaces the context's error by errStalled if the watch caused it.
func (w *watch) blame(err error) error {
	if w.fired.Load() {
		return errStalled
	}
	return err
}
