package telemetry

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// depots are the metrics of the database and of the buckets.
type depots struct {
	store *prometheus.HistogramVec
	s3    *prometheus.HistogramVec
	bytes *prometheus.CounterVec
}

func newDepots(r prometheus.Registerer) *depots {
	d := &depots{
		store: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "batholith_store_operation_duration_seconds",
			Help:    "Time of a read or a writing transaction of the database, by its outcome: ok, refused (the state of the job does not allow it), cancelled, error.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}, []string{"operation", "outcome"}),
		s3: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "batholith_s3_operation_duration_seconds",
			Help:    "Time of a call of a bucket until its answer begins, by its outcome: ok, refused (absent, denied, changed), cancelled, error.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16)}, []string{"operation", "outcome"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "batholith_s3_bytes_total", Help: "Bytes that were read from buckets, and written to them."}, []string{"direction"}),
	}
	r.MustRegister(d.store, d.s3, d.bytes)
	return d
}

// answers are errors with which a database or a bucket answers: it works.
var answers = []error{batholith.ErrNoObject, batholith.ErrNoBucket, batholith.ErrAccessDenied, batholith.ErrRefused, batholith.ErrObjectChanged,
	batholith.ErrNotFound, batholith.ErrTokenReused, batholith.ErrNameInUse, batholith.ErrTooManyActive, batholith.ErrTooManyTags, batholith.ErrMoved,
	batholith.ErrSealed, batholith.ErrNothingKept, batholith.ErrHeld}

// outcomeOf is the label outcome of an operation.
func outcomeOf(err error) string {
	if err == nil {
		return "ok"
	}
	if errors.Is(err, context.Canceled) {
		return "cancelled"
	}
	if _, stale := errors.AsType[*batholith.StaleError](err); stale {
		return "refused"
	}
	for _, answer := range answers {
		if errors.Is(err, answer) {
			return "refused"
		}
	}
	return "error"
}

// Bucket returns a bucket that does what b does, and observes its calls.
func (t *Telemetry) Bucket(b blob.Bucket) blob.Bucket { return bucket{b, t.depots} }

// bucket observes the calls of the bucket in it.
type bucket struct {
	blob.Bucket
	d *depots
}

// timed returns what is to be called with the error of a call that begins now.
func (d *depots) timed(operation string) func(error) {
	began := time.Now()
	return func(err error) {
		d.s3.WithLabelValues(operation, outcomeOf(err)).Observe(time.Since(began).Seconds())
	}
}

// written counts bytes that were written, if err is nil.
func (d *depots) written(n int, err error) {
	if err == nil {
		d.bytes.WithLabelValues("written").Add(float64(n))
	}
}

// URI is the object's URI of the bucket in it.
func (b bucket) URI(key string) string { return blob.URI(b.Bucket, key) }

// Head implements blob.Readable.
func (b bucket) Head(ctx context.Context, key string) (batholith.Object, error) {
	done := b.d.timed("head")
	o, err := b.Bucket.Head(ctx, key)
	done(err)
	return o, err
}

// Read implements blob.Readable.
func (b bucket) Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error) {
	done := b.d.timed("get")
	r, err := b.Bucket.Read(ctx, key, etag, offset, n)
	done(err)
	if err != nil {
		return r, err
	}
	return reading{r, b.d.bytes.WithLabelValues("read")}, nil
}

// reading counts the bytes of a stream.
type reading struct {
	io.ReadCloser
	bytes prometheus.Counter
}

// Read implements io.Reader.
func (r reading) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.bytes.Add(float64(n))
	return n, err
}

// List implements blob.Bucket.
func (b bucket) List(ctx context.Context, prefix string) iter.Seq2[batholith.Object, error] {
	return listed(b.d, "list", b.Bucket.List(ctx, prefix))
}

// listed observes a listing as one call, until its first element or its end.
func listed[T any](d *depots, operation string, all iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		done := d.timed(operation)
		for one, err := range all {
			if done != nil {
				done(err)
				done = nil
			}
			if !yield(one, err) {
				return
			}
		}
		if done != nil {
			done(nil)
		}
	}
}

// Put implements blob.Bucket.
func (b bucket) Put(ctx context.Context, key string, body []byte) error {
	done := b.d.timed("put")
	err := b.Bucket.Put(ctx, key, body)
	done(err)
	b.d.written(len(body), err)
	return err
}

// Delete implements blob.Bucket.
func (b bucket) Delete(ctx context.Context, keys ...string) error {
	done := b.d.timed("delete")
	err := b.Bucket.Delete(ctx, keys...)
	done(err)
	return err
}

// CreateUpload implements blob.Multipart.
func (b bucket) CreateUpload(ctx context.Context, key string) (string, error) {
	done := b.d.timed("create_upload")
	id, err := b.Bucket.CreateUpload(ctx, key)
	done(err)
	return id, err
}

// UploadPart implements blob.Multipart.
func (b bucket) UploadPart(ctx context.Context, key, id string, n int, body []byte) (string, error) {
	done := b.d.timed("upload_part")
	etag, err := b.Bucket.UploadPart(ctx, key, id, n, body)
	done(err)
	b.d.written(len(body), err)
	return etag, err
}

// CompleteUpload implements blob.Multipart.
func (b bucket) CompleteUpload(ctx context.Context, key, id string, etags []string) error {
	done := b.d.timed("complete_upload")
	err := b.Bucket.CompleteUpload(ctx, key, id, etags)
	done(err)
	return err
}

// AbortUpload implements blob.Multipart.
func (b bucket) AbortUpload(ctx context.Context, key, id string) error {
	done := b.d.timed("abort_upload")
	err := b.Bucket.AbortUpload(ctx, key, id)
	done(err)
	return err
}

// ListUploads implements blob.Multipart.
func (b bucket) ListUploads(ctx context.Context, prefix string) iter.Seq2[batholith.Upload, error] {
	return listed(b.d, "list_uploads", b.Bucket.ListUploads(ctx, prefix))
}

// UploadsOf implements blob.UploadLister.
func (b bucket) UploadsOf(ctx context.Context, prefix string, keys []string) iter.Seq2[batholith.Upload, error] {
	return listed(b.d, "list_uploads", blob.Uploads(ctx, b.Bucket, prefix, keys))
}
