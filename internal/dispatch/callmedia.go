package dispatch

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/memory"
)

// Bounds of the objects that the body of an interactive call names.
const (
	mostNamed   = 100 // places in a body (Bedrock: at most 20 images and 5 documents in a request)
	looksAtOnce = 8   // objects of a call that are read in parallel
)

// namedMedia are a call's body with the objects that it names.
//
//	body → places → one look at each object (size, version) → memory for all documents → their bytes, and the first bytes of the others
//
// All of it happens before the call takes a slot. Images, videos and audios that are not small are read while the request is sent.
type namedMedia struct {
	body    []byte             // with the content of documents, and marks in place of the other objects
	media   []batholith.Medium // of the marks
	objects []*attachment      // each once
	holds   []*memory.Hold
}

// release gives the memory back.
func (m *namedMedia) release() {
	for _, h := range m.holds {
		h.Release()
	}
}

// bytes is the length of all objects.
func (m *namedMedia) bytes() (n int) {
	for _, o := range m.objects {
		n += int(o.bytes)
	}
	return n
}

// named reads the objects that a call's body names. A body that names none is returned unchanged. The error is a *batholith.RecordError, a
// *batholith.MediaError, batholith.ErrBusy, or the cause of ctx.
func (d *Dispatcher) named(ctx context.Context, until time.Time, r Request) (m *namedMedia, err error) {
	places := dialect.Locations(r.Body)
	m = &namedMedia{body: r.Body}
	if len(places) == 0 {
		return m, nil
	}
	ctx, cancel := context.WithDeadlineCause(ctx, until, batholith.ErrBusy)
	defer cancel()
	defer func() {
		if err != nil {
			m.release()
		}
	}()
	if len(places) > mostNamed {
		return m, unfit(places[mostNamed], "the call names %d objects, and %d are the most; divide the call into several", len(places), mostNamed)
	}
	of, err := m.find(ctx, r, places)
	if err != nil {
		return m, err
	}
	if err := d.loadNamed(ctx, m, places, of); err != nil {
		return m, err
	}
	m.fill(r.Body, places, of)
	return m, nil
}

// find makes an attachment for each object, and returns those of the places.
func (m *namedMedia) find(ctx context.Context, r Request, places []dialect.Location) (of []*attachment, err error) {
	byID := map[string]*attachment{}
	for _, place := range places {
		switch {
		case place.Wrong != "":
			return nil, &batholith.RecordError{Code: http.StatusBadRequest, Message: place.Wrong}
		case r.Media == nil:
			return nil, unfit(place, "there is no S3 here to read %s from; give the content in bytes", place.URI)
		}
		o := byID[objectID(place)]
		if o == nil {
			bucket, key, refused := r.Media(ctx, place.URI, place.Owner)
			if refused != nil {
				why := unfit(place, "%s", refused.Message)
				why.Code = refused.Code
				return nil, why
			}
			o = &attachment{uri: place.URI, bucket: bucket, key: key}
			byID[objectID(place)] = o
			m.objects = append(m.objects, o)
		}
		of = append(of, o)
	}
	return of, nil
}

// loadNamed reads what the request needs of the objects before it is sent.
func (d *Dispatcher) loadNamed(ctx context.Context, m *namedMedia, places []dialect.Location, of []*attachment) error {
	place := func(o *attachment) dialect.Location { return places[slices.Index(of, o)] }
	err := d.each(ctx, m, func(o *attachment) error { return callFault(ctx, place(o), o.look(ctx, place(o))) })
	if err != nil {
		return err
	}
	var documents int64
	for i, o := range of {
		if places[i].IsDocument() {
			documents += o.bytes
		}
	}
	if documents > mostImage {
		return unfit(places[0], "the call's documents have %d bytes together, and %d are the most; divide the call into several", documents, mostImage)
	}
	text := d.asked.Hold() // in one step: calls that wait for more memory while they hold some could wait for each other
	m.holds = append(m.holds, text)
	if documents > 0 {
		if err := text.Reserve(ctx, textCopies*documents); err != nil {
			return err
		}
	}
	parts := map[*attachment]int64{}
	for _, o := range m.objects {
		parts[o] = min(o.bytes, sniffed)
		hold := d.asked.Hold()
		if place(o).IsDocument() || o.bytes <= mostInMemory && hold.TryReserve(o.bytes) {
			parts[o] = o.bytes
		}
		m.holds = append(m.holds, hold)
	}
	return d.each(ctx, m, func(o *attachment) error { return callFault(ctx, place(o), o.load(ctx, place(o), parts[o])) })
}

// each calls f for every object, some at once, and returns the first error, or why the first object of a body cannot be sent.
func (d *Dispatcher) each(ctx context.Context, m *namedMedia, f func(o *attachment) error) error {
	var g errgroup.Group
	g.SetLimit(looksAtOnce)
	for _, o := range m.objects {
		g.Go(func() error {
			if err := d.looks.Acquire(ctx, 1); err != nil {
				return context.Cause(ctx)
			}
			defer d.looks.Release(1)
			return f(o)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, o := range m.objects {
		if o.refused != nil {
			return o.refused
		}
	}
	return nil
}

// fill makes the body for the dialects.
func (m *namedMedia) fill(body []byte, places []dialect.Location, of []*attachment) {
	marks := make([]string, len(places))
	for i, o := range of {
		if !places[i].IsDocument() {
			marks[i] = dialect.NewMark()
			m.media = append(m.media, o.medium(marks[i]))
		}
	}
	m.body = dialect.Filled(body, places, marks, func(i int) []byte {
		if places[i].IsDocument() {
			return of[i].data
		}
		return nil
	})
}

// callFault turns an error of a bucket into the error of the call.
func callFault(ctx context.Context, place dialect.Location, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, batholith.ErrNoObject):
		return unfit(place, "there is no object %s; upload it, or correct the uri, whose letters must have the object's case", place.URI)
	case errors.Is(err, batholith.ErrNoBucket):
		return unfit(place, "there is no bucket for %s; correct the uri", place.URI)
	case blob.Denied(err):
		refused := unfit(place, "you may not read %s, or there is no such object; ask for s3:GetObject on it, and for s3:ListBucket to tell the two apart", place.URI)
		if place.Owner != "" {
			refused = unfit(place, "you may not read %s as an object of account %s; correct the bucketOwner, or ask for s3:GetObject on it", place.URI, place.Owner)
		}
		refused.Code = http.StatusForbidden
		return refused
	}
	return &batholith.MediaError{URI: place.URI, Err: err}
}
