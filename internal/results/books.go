package results

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// maxManifest is the size in bytes of the largest manifest that is read.
const maxManifest = 64 << 20

// Books reads what a job's bucket shows to be done, for a job whose database was restored and may be older than the bucket.
//
// A manifest of this job with a terminal status says that the job has ended. Otherwise every object in its folder of segments is read, and
// those of the shelf that rows name. One counts if it is whole, its first frame names this job, and its outcomes fit chunks of the plan.
// The largest come first, so that a run is preferred to the segments that it was merged from. If some records of a segment are in the books
// already, its other outcomes are written anew, into segments of their own. Nothing is deleted: what is not in the books is left to the
// clean-up.
func (p *Publisher) Books(ctx context.Context, job batholith.Job) (batholith.Books, error) {
	place, err := p.o.Open(ctx, job.ID)
	if err != nil {
		return batholith.Books{}, err
	}
	b := &books{ctx: ctx, p: p, job: job.ID, place: place, chunks: map[int]batholith.Chunk{}, unfit: map[int]bool{}}
	b.out.Done = map[int]batholith.DoneChunk{}
	m, err := b.manifest()
	if err != nil {
		return batholith.Books{}, fmt.Errorf("look for the manifest of job %s: %w", job.ID, err)
	}
	if m != nil && m.Batholith.JobARN == job.ARN().String() && m.Batholith.Status.Terminal() {
		return batholith.Books{Ended: m}, nil
	}
	if err := b.read(); err != nil {
		return batholith.Books{}, fmt.Errorf("compare job %s with its bucket: %w", job.ID, err)
	}
	return b.out, nil
}

// books are being made.
type books struct {
	ctx    context.Context
	p      *Publisher
	job    string
	place  blob.Place
	chunks map[int]batholith.Chunk // of the plan, by number
	unfit  map[int]bool            // numbers without a chunk
	out    batholith.Books
}

// manifest returns the manifest in the bucket; nil: there is none that can be read.
func (b *books) manifest() (*batholith.Manifest, error) {
	key := b.place.Prefix + batholith.ManifestName
	info, err := b.place.Output.Head(b.ctx, key)
	if errors.Is(err, batholith.ErrNoObject) || err == nil && info.Bytes > maxManifest {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	in := blob.NewReader(b.ctx, b.place.Output, key, info.ETag, 0, info.Bytes)
	text, err := io.ReadAll(in)
	if err = errors.Join(err, in.Close()); err != nil {
		return nil, err
	}
	m := new(batholith.Manifest)
	if json.Unmarshal(text, m) != nil {
		return nil, nil
	}
	return m, nil
}

// read makes the books of all segments that there are.
func (b *books) read() error {
	listed, err := b.p.o.Store.Segments(b.ctx, b.job)
	if err != nil {
		return err
	}
	known, before := map[string]batholith.Segment{}, int64(0)
	for _, g := range listed {
		known[g.Key] = g
		before += g.Records
		b.out.Before = append(b.out.Before, g.Key)
	}
	var there []batholith.Segment
	for o, err := range b.place.Output.List(b.ctx, b.place.Prefix+segmentFolder) {
		if err != nil {
			return err
		}
		there = append(there, batholith.Segment{Job: b.job, Key: o.Key, Bytes: o.Bytes, Level: known[o.Key].Level})
		delete(known, o.Key)
	}
	for key, g := range known { // not in the bucket: on the shelf, or merged after the backup
		if strings.HasPrefix(key, shelfScheme) {
			there = append(there, g)
			delete(known, key)
		}
	}
	b.out.Missing = int64(len(known))
	slices.SortFunc(there, func(x, y batholith.Segment) int {
		return cmp.Or(cmp.Compare(y.Bytes, x.Bytes), cmp.Compare(x.Key, y.Key))
	})
	for _, g := range there {
		if err := b.take(g); err != nil {
			return err
		}
	}
	b.out.Adopted = max(b.out.Counts.Processed-before, 0)
	return nil
}

// take adds the outcomes of an object that the books do not have yet.
func (b *books) take(g batholith.Segment) error {
	var sum batholith.Commit
	partly := false // some of its outcomes are in the books, or fit no chunk
	seg, err := b.each(g, func(o *batholith.Outcome) error {
		isNew, err := b.isNew(o)
		if err != nil {
			return err
		}
		if isNew {
			account(&sum, o)
		} else {
			partly = true
		}
		return nil
	})
	switch {
	case errors.Is(err, errDamaged), errors.Is(err, errTorn):
		b.p.o.Log.Warn("an object among the segments of a restored job is no whole segment of this job; it is not used", "job", b.job, "object", g.Key, "err", err)
		return nil
	case errors.Is(err, batholith.ErrNoObject):
		b.out.Missing++
		return nil
	case err != nil:
		return err
	case sum.Counts.Processed == 0:
		return nil
	case partly:
		return b.rewrite(g)
	}
	b.enter(seg, sum)
	return nil
}

// each visits the outcomes of an object, and returns its description.
func (b *books) each(g batholith.Segment, visit func(*batholith.Outcome) error) (batholith.Segment, error) {
	r, err := openSegment(b.ctx, b.place.Output, g, partBytes)
	if err != nil {
		return g, err
	}
	r.unlisted = true
	for {
		err := r.next()
		if err == io.EOF {
			return r.seg, nil
		}
		if err == nil {
			err = visit(&r.now)
		}
		if err != nil {
			return g, err
		}
	}
}

// isNew reports whether an outcome fits its chunk of the plan, and the books have none of its record.
func (b *books) isNew(o *batholith.Outcome) (bool, error) {
	c, known := b.chunks[o.Chunk]
	if !known && !b.unfit[o.Chunk] {
		found, err := b.p.o.Store.ChunksOf(b.ctx, b.job, []int{o.Chunk})
		if err != nil {
			return false, err
		}
		if len(found) == 0 {
			b.unfit[o.Chunk] = true
			return false, nil
		}
		c = found[0]
		b.chunks[o.Chunk] = c
	}
	i := o.Key.Record - c.First
	fits := c.Count > 0 && c.File == o.Key.File && c.First == o.First && i >= 0 && i < int64(c.Count)
	return fits && !b.out.Done[o.Chunk].Records.Has(int(i)), nil
}

// enter adds a segment to the books.
func (b *books) enter(g batholith.Segment, sum batholith.Commit) {
	b.out.Segments = append(b.out.Segments, g)
	b.out.Counts = b.out.Counts.Add(sum.Counts)
	b.out.Tokens = b.out.Tokens.Add(sum.Tokens)
	b.out.Ledger = b.out.Ledger.Add(sum.Ledger)
	for _, part := range sum.Parts {
		d, c := b.out.Done[part.Chunk], b.chunks[part.Chunk]
		if d.Records == nil {
			d.Records = batholith.NewBits(c.Count)
		}
		for i, bits := range part.Done {
			d.Records[i] |= bits
		}
		d.All = d.Records.Len() == c.Count
		b.out.Done[part.Chunk] = d
	}
}

// rewrite writes the new outcomes of an object into segments of their own, of about segmentBytes.
func (b *books) rewrite(g batholith.Segment) error {
	var body bytes.Buffer
	var w *segmentWriter
	var sum batholith.Commit
	flush := func() error {
		if w == nil {
			return nil
		}
		seg, err := w.end()
		if err == nil {
			err = b.place.Output.Put(b.ctx, seg.Key, body.Bytes())
		}
		if err == nil {
			b.enter(seg, sum)
		}
		body.Reset()
		w, sum = nil, batholith.Commit{}
		return err
	}
	_, err := b.each(g, func(o *batholith.Outcome) error {
		if isNew, err := b.isNew(o); err != nil || !isNew {
			return err
		}
		if w == nil {
			w = newSegmentWriter(&body, b.job, b.place.Prefix+segmentFolder+"restored-"+newID()+".seg", 0)
		}
		account(&sum, o)
		if err := w.add(o); err != nil || body.Len() < segmentBytes {
			return err
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}
