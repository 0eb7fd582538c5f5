package dispatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"unicode/utf8"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/memory"
	printable "github.com/batholith/batholith/internal/plain"
)

// Bounds of one object that a body names, in bytes.
const (
	mostImage    = 25_000_000 // also of all documents of a record together (Bedrock: 25 MB for images and documents in a request)
	mostStream   = 1 << 30    // of a video or an audio (Bedrock: 1 GB by S3)
	mostInMemory = 4 << 20    // larger images, videos and audios are read while the request is sent
	sniffed      = 512        // read of each object before its record is sent: shows that it may be read, and what it is
	textCopies   = 4          // factor on the bytes of a document: the object, its Base64, and its text in the request
)

// attachment is one version of an object in S3, for all records that are about to be sent with it.
type attachment struct {
	uri    string
	bucket blob.Readable
	key    string
	hold   *memory.Hold  // for data
	ready  chan struct{} // closed when the fields below are set

	refused *batholith.RecordError // why no record can have it
	err     error                  // the cause of the context, if it ended first
	bytes   int64
	etag    string
	data    []byte // nil: it is read while the request is sent

	refs int // records that have it; guarded by queue.mu
}

// medium returns how a request gets the object.
func (o *attachment) medium(mark string) batholith.Medium {
	return batholith.Medium{URI: o.uri, Mark: mark, Bytes: o.bytes, Open: func(ctx context.Context) (io.ReadCloser, error) {
		if o.data != nil {
			return io.NopCloser(bytes.NewReader(o.data)), nil
		}
		return blob.NewReader(ctx, o.bucket, o.key, o.etag, 0, o.bytes), nil
	}}
}

// body returns the record's input for the dialect. The content of documents is in it; images, videos and audios are marks, whose bytes come
// into the request when it is sent.
func (it *item) body() ([]byte, []batholith.Medium) {
	if len(it.places) == 0 {
		return it.input, nil
	}
	marks := make([]string, len(it.places))
	var media []batholith.Medium
	for i, o := range it.objects {
		if !it.places[i].IsDocument() {
			marks[i] = dialect.NewMark()
			media = append(media, o.medium(marks[i]))
		}
	}
	return dialect.Filled(it.input, it.places, marks, func(i int) []byte {
		if it.places[i].IsDocument() {
			return it.objects[i].data
		}
		return nil
	}), media
}

// fix keeps the versions of the objects for all further attempts at the record.
func (it *item) fix() {
	if it.etags != nil || len(it.places) == 0 {
		return
	}
	for _, o := range it.objects {
		it.etags = append(it.etags, o.etag)
	}
}

// gather reads the objects of a record. refused is the record's error line; err is the cause of ctx, and then the record is dropped.
func (f *feed) gather(ctx context.Context, it *item) (objects []*attachment, refused *batholith.RecordError, err error) {
	var documents int64
	for i, place := range it.places {
		o, why, err := f.object(ctx, it, place)
		if o != nil {
			objects = append(objects, o)
		}
		if why == nil && err == nil {
			why, err = o.refused, o.err
		}
		if why != nil || err != nil {
			return objects, why, err
		}
		if it.etags != nil && it.etags[i] != o.etag {
			return objects, unfit(place, "%s was changed after the record was sent with it; send the record again in a new job", place.URI), nil
		}
		if place.IsDocument() {
			documents += o.bytes
		}
	}
	if documents > mostImage {
		return objects, unfit(it.places[0], "the record's documents have %d bytes together, and %d are the most; divide the record", documents, mostImage), nil
	}
	return objects, nil, nil
}

// unfit is the error line of a record because of one of its objects.
func unfit(place dialect.Location, format string, args ...any) *batholith.RecordError {
	return &batholith.RecordError{Code: http.StatusBadRequest, Message: printable.Line(place.Path + ": " + fmt.Sprintf(format, args...))}
}

// object returns an object of a record, and counts the record among those that have it. The first record reads it and the others wait.
func (f *feed) object(ctx context.Context, it *item, place dialect.Location) (*attachment, *batholith.RecordError, error) {
	switch {
	case place.Wrong != "":
		return nil, &batholith.RecordError{Code: http.StatusBadRequest, Message: printable.Line(place.Wrong)}, nil
	case f.place.Media == nil:
		return nil, unfit(place, "this job has no S3 to read %s from; give the content in bytes", place.URI), nil
	}
	bucket, key, why := f.place.Media(place.URI, place.Owner)
	if why != "" {
		return nil, unfit(place, "%s", why), nil
	}
	id := objectID(place)
	o, first := f.media.have(f.queue, id)
	if first {
		o.uri, o.bucket, o.key = place.URI, bucket, key
		o.err = f.insist(ctx, "read "+place.URI, func() error { return f.fetchObject(ctx, it, o, place) })
		if o.err != nil || o.refused != nil {
			f.media.forget(f.queue, id, o)
		}
		close(o.ready)
	}
	select {
	case <-o.ready:
	case <-ctx.Done():
		return o, nil, context.Cause(ctx)
	}
	return o, nil, nil
}

// fetchObject reads what a record needs of an object before it is sent. It sets o.refused if retries cannot help the record. Any error is a
// fault of the bucket: the record waits, and no attempt is counted.
func (f *feed) fetchObject(ctx context.Context, it *item, o *attachment, place dialect.Location) error {
	if err := f.d.fetches.Acquire(ctx, 1); err != nil {
		return err
	}
	defer f.d.fetches.Release(1)
	err := f.d.fetch(ctx, o, place)
	if blob.Denied(err) && f.place.Renew != nil {
		f.place.Renew()
		err = f.d.fetch(ctx, o, place)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, batholith.ErrObjectChanged):
		return fmt.Errorf("%s was changed while it was read", place.URI) // not permanent: its next version is read
	case errors.Is(err, batholith.ErrNoObject):
		o.refused = unfit(place, "there is no object %s; upload it, or correct the uri, whose letters must have the object's case", place.URI)
		return nil
	case !blob.Denied(err):
		return err
	}
	// The role may have lost all its rights, and then the job waits. Otherwise it is about this object.
	if _, own := f.place.Input.Head(ctx, f.files[it.key.File].Key); own != nil {
		return fmt.Errorf("%s: %w", blob.URI(f.place.Input, f.files[it.key.File].Key), own)
	}
	o.refused = unfit(place, "the job's role may not read %s, or there is no such bucket or object; grant the role s3:GetObject on it, and s3:ListBucket to tell the two apart", place.URI)
	if place.Owner != "" {
		o.refused = unfit(place, "the job's role may not read %s as an object of account %s, or there is no such bucket or object; correct the bucketOwner, or grant the role s3:GetObject on it", place.URI, place.Owner)
	}
	o.refused.Code = http.StatusForbidden
	return nil
}

// fetch reads an object's size, version and first bytes, and all of it if it is small or a document.
func (d *Dispatcher) fetch(ctx context.Context, o *attachment, place dialect.Location) error {
	o.hold.Release()
	if err := o.look(ctx, place); err != nil || o.refused != nil {
		return err
	}
	part := min(o.bytes, sniffed)
	switch {
	case place.IsDocument():
		if err := o.hold.Grow(ctx, textCopies*o.bytes); err != nil {
			return err
		}
		part = o.bytes
	case o.bytes <= mostInMemory && o.hold.TryReserve(o.bytes): // without memory it is read while the request is sent
		part = o.bytes
	}
	return o.load(ctx, place, part)
}

// look reads an object's size and version.
func (o *attachment) look(ctx context.Context, place dialect.Location) error {
	head, err := o.bucket.Head(ctx, o.key)
	if err != nil {
		return err
	}
	o.bytes, o.etag, o.data = head.Bytes, head.ETag, nil
	o.refused = wrongSize(place, head.Bytes)
	return nil
}

// load reads the first part of an object, and keeps it if it is the whole object.
func (o *attachment) load(ctx context.Context, place dialect.Location, part int64) error {
	data, err := readAll(ctx, o.bucket, o.key, o.etag, 0, part)
	if err != nil {
		return err
	}
	if part == o.bytes {
		o.data = data
	}
	o.refused = wrongFormat(place, data)
	return nil
}

// wrongSize returns the error line for an object that is empty or too large.
func wrongSize(place dialect.Location, n int64) *batholith.RecordError {
	most := int64(mostImage)
	if place.Kind == "video" || place.Kind == "audio" {
		most = mostStream
	}
	switch {
	case n == 0:
		return unfit(place, "%s is empty; upload its content", place.URI)
	case n > most:
		return unfit(place, "%s has %d bytes, and %d are the most for a %s; make it smaller", place.URI, n, most, place.Kind)
	}
	return nil
}

// pictures are the formats of images that a server tells apart by their name (Bedrock: ImageFormat), with their media types.
var pictures = map[string]string{"png": "image/png", "jpeg": "image/jpeg", "jpg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}

// wrongFormat returns the error line for an image that is not in the format that its body says, or a text that is none.
func wrongFormat(place dialect.Location, data []byte) *batholith.RecordError {
	if place.Kind == "text" && !utf8.Valid(data) {
		return unfit(place, "%s is not a text in UTF-8; convert it", place.URI)
	}
	want := pictures[place.Format]
	if place.Kind != "image" || want == "" {
		return nil
	}
	if got := http.DetectContentType(data[:min(len(data), sniffed)]); got != want {
		return unfit(place, "%s is %s by its first bytes, and format says %s; write the object's own format", place.URI, got, place.Format)
	}
	return nil
}
