package results

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/backoff"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/failpoint"
)

// mergeWidth is the number of segments of a level that become one run of the next. A merge writes every byte again. Of N segments each byte
// is written
//
//	1 + log(N) / log(mergeWidth)
//
// times before it is published, so a greater width saves writes. A publication can read fanIn segments in parallel.
const mergeWidth = 24

// mergeJob merges this worker's segments of a job while a level has enough of them. Every worker merges only its own segments, so that two
// never merge the same.
func (w *Writer) mergeJob(ctx context.Context, job string) error {
	for {
		segs, err := w.o.Store.Segments(ctx, job)
		if err != nil {
			return err
		}
		own := w.mergeable(segs)
		if own == nil {
			return nil
		}
		place, err := w.o.Open(ctx, job)
		if err != nil {
			return err
		}
		r := runMaker{store: w.o.Store, place: place, key: func() string { return w.key(place.Prefix, ".run") }}
		began := time.Now()
		old, read, err := r.replace(ctx, own)
		if err == nil {
			tellMerged(w.o.Listener, own, began)
			err = w.bury(ctx, job, place.Output, old, read)
		}
		if err != nil {
			if err = judge(ctx, w.o.Store, place.Output, err); errors.Is(err, batholith.ErrOutcomesLost) {
				w.o.OnFault(job, err)
			}
			return err
		}
	}
}

// tellMerged reports a merge to the listener.
func tellMerged(l batholith.Listener, segs []batholith.Segment, began time.Time) {
	if l.Merged == nil {
		return
	}
	m := batholith.Merged{Job: segs[0].Job, Segments: len(segs), Records: outcomesOf(segs), Took: time.Since(began)}
	for _, s := range segs {
		m.Bytes += s.Bytes
	}
	l.Merged(m)
}

// mostKept bounds the keys of merged segments that are kept for a publisher.
const mostKept = 4096

// bury deletes the objects of merged segments. If a publisher may still read them (read), they are kept until the job's next merge without
// a reader. The clean-up deletes those for which no merge comes, and those above mostKept.
func (w *Writer) bury(ctx context.Context, job string, b blob.Bucket, old []string, read bool) error {
	dead := w.keep(job, old, read)
	for part := range slices.Chunk(dead, deleteAtOnce) {
		if err := b.Delete(ctx, part...); err != nil {
			return fmt.Errorf("delete merged segments: %w", err) // the clean-up deletes them
		}
	}
	return nil
}

// keep adds the objects of merged segments to those that are kept for the job. If no publisher reads, it returns all of them for deletion.
func (w *Writer) keep(job string, old []string, read bool) (dead []string) {
	w.keeping.Lock()
	defer w.keeping.Unlock()
	dead = append(w.kept[job], old...)
	if !read {
		delete(w.kept, job)
		return dead
	}
	w.kept[job] = dead
	waiting := 0
	for _, keys := range w.kept {
		waiting += len(keys)
	}
	if waiting > mostKept {
		clear(w.kept)
	}
	return nil
}

// mergeable returns the segments of this worker for the next run, all of one level, or nil if no level has enough.
func (w *Writer) mergeable(segs []batholith.Segment) []batholith.Segment {
	levels := map[int][]batholith.Segment{}
	for _, s := range segs {
		if _, name, _ := strings.Cut(s.Key, segmentFolder); strings.HasPrefix(name, w.o.Worker+"-") {
			levels[s.Level] = append(levels[s.Level], s)
		}
	}
	for level := 0; len(levels) > 0; level++ {
		if len(levels[level]) >= w.width {
			return levels[level][:w.width]
		}
		delete(levels, level)
	}
	return nil
}

// runMaker merges segments of a job into runs.
type runMaker struct {
	store interface {
		Segments
		Uploads
	}
	place blob.Place
	key   func() string // key of a new run
}

// mergeStall is the time in which a merge must read and write its next stallEvery outcomes. A bucket that does not answer would keep a slot
// from others.
const (
	mergeStall = 2 * time.Minute
	stallEvery = 256
)

// errStalled ends a merge after mergeStall.
var errStalled = errors.New("the bucket has not answered for two minutes")

// replaceTries is how often ReplaceSegments is called for a run before the run is left to the clean-up.
const replaceTries = 3

// replace merges segs into one run and replaces them by it. After that no row names the old objects, but if read is true a publisher may
// still read them.
func (r runMaker) replace(ctx context.Context, segs []batholith.Segment) (old []string, read bool, err error) {
	run, err := r.write(ctx, segs)
	if err != nil {
		return nil, false, fmt.Errorf("merge %d segments: %w", len(segs), err)
	}
	failpoint.Here("results.merged")
	old = make([]string, len(segs))
	for i, s := range segs {
		old[i] = s.Key
	}
	tries := 0
	err = backoff.Repeat(ctx, 2*firstDelay, lastDelay, func(ctx context.Context) (err error) {
		if read, err = r.store.ReplaceSegments(ctx, run.Job, old, run); err == nil {
			return nil
		}
		if tries++; tries == replaceTries {
			return backoff.Final(errors.Join(err, r.withdraw(ctx, run, old)))
		}
		return err
	}, nil)
	if err != nil {
		return nil, false, err
	}
	failpoint.Here("results.exchanged")
	return old, read, nil
}

// withdraw deletes the object of a run that the store can never accept, because one of the replaced segments does not exist any more. Any
// other run may still turn out to be accepted, and is left to the clean-up.
func (r runMaker) withdraw(ctx context.Context, run batholith.Segment, old []string) error {
	segs, err := r.store.Segments(ctx, run.Job)
	if err != nil {
		return err
	}
	there := 0
	for _, s := range segs {
		if s.Key == run.Key {
			return nil
		}
		if slices.Contains(old, s.Key) {
			there++
		}
	}
	if there == len(old) {
		return nil
	}
	return r.place.Output.Delete(ctx, run.Key)
}

// write merges segments into the object of a run, one level above the highest of them.
func (r runMaker) write(ctx context.Context, segs []batholith.Segment) (batholith.Segment, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(mergeStall, func() { cancel(errStalled) })
	defer stall.Stop()
	in, err := merge(ctx, r.place.Output, segs, false)
	if err != nil {
		return batholith.Segment{}, err
	}
	defer in.close()
	level, size := 0, int64(0)
	for _, s := range segs {
		level, size = max(level, s.Level+1), size+s.Bytes
	}
	object := newObject(ctx, r.store, r.place.Output, batholith.Upload{Job: segs[0].Job, Key: r.key()}, objectOptions{Bytes: size})
	out := newSegmentWriter(object, segs[0].Job, object.key, level)
	for {
		o, err := in.next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = out.add(o)
		}
		if err != nil {
			return batholith.Segment{}, errors.Join(err, object.abort())
		}
		if out.seg.Records%stallEvery == 0 {
			stall.Reset(mergeStall)
		}
	}
	stall.Stop() // the completion of a large upload may take longer
	run, err := out.end()
	if err != nil {
		return run, errors.Join(err, object.abort())
	}
	return run, object.close()
}

// smallest returns the n segments with the fewest bytes.
func smallest(segs []batholith.Segment, n int) []batholith.Segment {
	sorted := slices.SortedFunc(slices.Values(segs), func(a, b batholith.Segment) int { return cmp.Compare(a.Bytes, b.Bytes) })
	return sorted[:n]
}

// newID is a random part of a key, 64 bits.
func newID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
