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

// stallLimit is how long a read waits for the answer's head, or for the next byte, before it is given up.
const stallLimit = time.Minute

var errStalled = errors.New("no byte arrived for a minute")

// Read opens n bytes of an object from offset on; n < 0 means to its end, and n = 0 reads nothing and asks nothing.
// With an etag, another object under the key is batholith.ErrObjectChanged. The reader gives every byte that was asked
// for or an error: io.ErrUnexpectedEOF when the answer, or the object, ends before. The caller closes it.
func (b *Bucket) Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error) {
	if n == 0 {
		return io.NopCloser(strings.NewReader("")), nil
	}
	in := &s3.GetObjectInput{Bucket: &b.name, Key: &key, ExpectedBucketOwner: b.owner, Range: byteRange(offset, n)}
	if etag != "" {
		in.IfMatch = quote(etag)
	}
	watched, watch := newWatch(ctx)
	out, err := b.api.GetObject(watched, in)
	watch.rest()
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
	if offset > 0 && aws.ToString(out.ContentRange) == "" {
		watch.cancel(nil)
		out.Body.Close()
		return nil, fmt.Errorf("read %s: the endpoint answers a range with the whole object", uri(b.name, key))
	}
	return &reader{body: out.Body, watch: watch, want: expected(n, out.ContentLength), uri: uri(b.name, key)}, nil
}

// atEnd answers for a range that holds no byte: nothing is just what there is to read from the end to the end.
func (b *Bucket) atEnd(ctx context.Context, key string, offset, n int64) (io.ReadCloser, error) {
	if info, err := b.Head(ctx, key); err == nil && n < 0 && info.Bytes == offset {
		return io.NopCloser(strings.NewReader("")), nil
	}
	return nil, fmt.Errorf("read %s from byte %d: %w", uri(b.name, key), offset, io.ErrUnexpectedEOF)
}

// byteRange is the Range header, or nil for the whole object, which also an empty one has.
func byteRange(offset, n int64) *string {
	switch {
	case n > 0:
		return aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+n-1))
	case offset > 0:
		return aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	return nil
}

// expected is how many bytes the reader must give: what was asked for, else what the answer promises; -1 if neither says.
func expected(n int64, length *int64) int64 {
	if n < 0 && length != nil {
		return *length
	}
	return n
}

// reader is the body of an answer that must have want bytes.
type reader struct {
	body  io.ReadCloser
	watch *watch
	want  int64 // bytes still to come; -1 = unknown
	uri   string
}

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
	if r.want == 0 { // everything came; what the connection says afterwards does not matter
		return n, io.EOF
	}
	return n, fmt.Errorf("read %s: %w", r.uri, r.watch.blame(err))
}

func (r *reader) Close() error {
	r.watch.cancel(nil)
	return r.body.Close()
}

// watch cancels a context when one wait takes longer than stallLimit. Time between waits does not count; the first begins
// with the watch.
type watch struct {
	cancel context.CancelCauseFunc
	timer  *time.Timer
	fired  *atomic.Bool
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

func (w *watch) arm()  { w.timer.Reset(stallLimit) }
func (w *watch) rest() { w.timer.Stop() }

// blame says what an error really was: a cancellation by the watch is a stall.
func (w *watch) blame(err error) error {
	if w.fired.Load() {
		return errStalled
	}
	return err
}
