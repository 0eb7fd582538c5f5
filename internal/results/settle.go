package results

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/backoff"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/failpoint"
)

const (
	attemptTime = 2 * time.Minute // timeout of one upload and commit
	firstDelay  = 100 * time.Millisecond
	lastDelay   = 10 * time.Second
)

// settle tries to commit outcomes of one job until each is committed or refused, without a time limit. It returns an error only if ctx ends
// first (its cause); then it is unknown which were committed.
func (w *Writer) settle(ctx context.Context, worker string, batch []item) error {
	batch = ordered(batch)
	for len(batch) > 0 {
		p := &parcel{worker: worker, items: batch}
		refusal, err := w.deliver(ctx, p)
		if err != nil || refusal == nil {
			return err
		}
		w.o.Log.Info("outcomes were refused, since another worker owns their chunks or the job is sealed", "job", p.job(), "segment", p.commit.Segment.Key, "err", refusal)
		w.discard(ctx, p)
		if batch, err = w.survivors(ctx, p, refusal); err != nil {
			return err
		}
	}
	return nil
}

// ordered sorts the items by key, and keeps the first outcome of each record.
func ordered(batch []item) []item {
	slices.SortStableFunc(batch, func(a, b item) int { return a.Key.Compare(b.Key) })
	return slices.CompactFunc(batch, func(a, b item) bool { return a.Key == b.Key })
}

// A parcel is a batch that is being committed. Every attempt writes the same object under the same key, and makes the same commit.
type parcel struct {
	worker string
	items  []item
	body   []byte // bytes of the segment; nil after it is stored
	place  blob.Place
	commit batholith.Commit
	stored bool      // the segment is in the bucket
	began  time.Time // start of the first attempt
}

// job is the id of the batch's job.
func (p *parcel) job() string { return p.items[0].Job }

// deliver retries until the store has accepted or refused the commit. refusal is nil if the outcomes are committed.
func (w *Writer) deliver(ctx context.Context, p *parcel) (refusal, err error) {
	p.began = time.Now()
	slots := w.slots
	err = backoff.Repeat(ctx, firstDelay, lastDelay, func(ctx context.Context) error {
		err := w.attempt(ctx, p, slots)
		slots = w.retries
		if refused(err) {
			refusal, err = err, nil
		}
		return err
	}, func(err error, wait time.Duration) {
		w.o.OnWait(p.job(), p.began, err)
		if blob.Permanent(err) {
			w.o.OnFault(p.job(), err)
		}
		w.o.Log.Warn("outcomes are not committed yet; Batholith retries automatically", "job", p.job(), "outcomes", len(p.items), "again_in", wait, "err", err)
	})
	return refusal, err
}

// refused reports whether the store has refused a commit for good.
func refused(err error) bool {
	var stale *batholith.StaleError
	return errors.As(err, &stale) || errors.Is(err, batholith.ErrSealed) || errors.Is(err, batholith.ErrNotFound)
}

// attempt waits for a slot, stores the segment if it is not stored yet, and commits it.
func (w *Writer) attempt(ctx context.Context, p *parcel, slots chan struct{}) error {
	if err := acquire(ctx, slots); err != nil {
		return err
	}
	defer func() { <-slots }()
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	if !p.stored {
		if err := w.putOrShelve(ctx, p); err != nil {
			return fmt.Errorf("store segment: %w", err)
		}
	}
	failpoint.Here("results.stored")
	counts, err := w.o.Store.Commit(ctx, p.commit)
	if err != nil {
		return fmt.Errorf("commit segment: %w", err)
	}
	failpoint.Here("results.committed")
	w.o.OnCommit(p.job(), counts)
	if f := w.o.Listener.Committed; f != nil {
		f(batholith.Committed{Job: p.job(), Segment: p.commit.Segment, Counts: p.commit.Counts, Tokens: p.commit.Tokens, Ledger: p.commit.Ledger, Took: time.Since(p.began)})
	}
	w.offerMerge(p.job())
	return nil
}

// put writes the segment's object. Its key is chosen once, so that a repeated write changes nothing.
func (w *Writer) put(ctx context.Context, p *parcel) error {
	place, err := w.o.Open(ctx, p.job())
	if err != nil {
		return err
	}
	if p.body == nil {
		if p.body, p.commit, err = encode(p, w.key(place.Prefix, ".seg")); err != nil {
			return err
		}
	}
	if err := place.Output.Put(ctx, p.commit.Segment.Key, p.body); err != nil {
		return err
	}
	p.place, p.stored, p.body = place, true, nil
	return nil
}

// encode makes the segment and the commit of a parcel.
func encode(p *parcel, key string) ([]byte, batholith.Commit, error) {
	var body bytes.Buffer
	size := 1 << 10
	for i := range p.items {
		o := &p.items[i].Outcome
		if size += len(o.Line) + 64; o.Source != nil {
			size += sourceBytes(o.Source)
		}
	}
	body.Grow(size)
	s := newSegmentWriter(&body, p.job(), key, 0)
	c := batholith.Commit{Worker: p.worker}
	for i := range p.items {
		o := &p.items[i].Outcome
		if err := s.add(o); err != nil {
			return nil, c, err
		}
		account(&c, o)
	}
	var err error
	c.Segment, err = s.end()
	return body.Bytes(), c, err
}

// account adds an outcome to a commit. The outcomes of a chunk must follow one another.
func account(c *batholith.Commit, o *batholith.Outcome) {
	c.Counts.Processed++
	if o.Errored {
		c.Counts.Errored++
	} else {
		c.Counts.Succeeded++
	}
	c.Tokens = c.Tokens.Add(o.Tokens)
	c.Ledger.Note(o)
	n := len(c.Parts)
	if n == 0 || c.Parts[n-1].Chunk != o.Chunk || c.Parts[n-1].Epoch != o.Epoch {
		c.Parts = append(c.Parts, batholith.CommitPart{Chunk: o.Chunk, Epoch: o.Epoch})
		n++
	}
	part, bit := &c.Parts[n-1], int(o.Key.Record-o.First)
	for len(part.Done) <= bit/8 {
		part.Done = append(part.Done, 0)
	}
	part.Done.Set(bit)
}

// discard deletes the object of a refused commit. It is safe: an earlier attempt at the same commit that is still on its way to the
// database will be refused too, since every reason of a refusal lasts (epochs rise, records become done, jobs become sealed). An attempt
// that took effect would have been recognised by its key; if its segment was merged since, the object is not needed.
func (w *Writer) discard(ctx context.Context, p *parcel) {
	if !p.stored {
		return
	}
	if err := p.place.Output.Delete(ctx, p.commit.Segment.Key); err != nil {
		w.o.Log.Debug("delete refused segment", "job", p.job(), "segment", p.commit.Segment.Key, "err", err)
	}
}

// survivors returns the outcomes of a refused parcel that may still be committed. The others are lost to this worker: the job is sealed,
// another worker owns their chunk, or their record has an outcome.
func (w *Writer) survivors(ctx context.Context, p *parcel, refusal error) ([]item, error) {
	var stale *batholith.StaleError
	if !errors.As(refusal, &stale) {
		return nil, nil
	}
	var numbers []int
	for i := range p.items {
		numbers = append(numbers, p.items[i].Chunk)
	}
	chunks, err := w.chunks(ctx, p.job(), numbers)
	if err != nil {
		return nil, err
	}
	rest := chunks.open(p.worker, p.items)
	if len(rest) == len(p.items) { // the chunks do not explain the refusal: trust the refusal
		rest = slices.DeleteFunc(rest, func(i item) bool { return slices.Contains(stale.Chunks, i.Chunk) })
	}
	if len(rest) == len(p.items) {
		return nil, fmt.Errorf("outcomes of job %s are refused, and none is named: %w", p.job(), refusal)
	}
	return rest, nil
}

// chunkTable is some of a job's chunks by number.
type chunkTable map[int]batholith.Chunk

// chunks reads the job's chunks with these numbers. It retries until ctx ends. An unknown job has no chunks.
func (w *Writer) chunks(ctx context.Context, job string, numbers []int) (chunkTable, error) {
	table := make(chunkTable, len(numbers))
	err := backoff.Repeat(ctx, firstDelay, lastDelay, func(ctx context.Context) error {
		list, err := w.o.Store.ChunksOf(ctx, job, numbers)
		for _, c := range list {
			table[c.N] = c
		}
		if errors.Is(err, batholith.ErrNotFound) {
			return nil
		}
		return err
	}, func(err error, wait time.Duration) {
		w.o.Log.Warn("read chunks", "job", job, "again_in", wait, "err", err)
	})
	return table, err
}

// open returns the items that the store may accept: the worker still owns their chunk under their epoch, and their record has no outcome.
func (t chunkTable) open(worker string, items []item) []item {
	var rest []item
	for _, i := range items {
		if t.takes(worker, &i.Outcome) {
			rest = append(rest, i)
		}
	}
	return rest
}

// takes reports whether the store may accept an outcome of the worker.
func (t chunkTable) takes(worker string, o *batholith.Outcome) bool {
	c, ok := t[o.Chunk]
	return ok && c.State == batholith.ChunkLeased && c.Owner == worker && c.Epoch == o.Epoch && !c.Done.Has(int(o.Key.Record-c.First))
}
