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

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/failpoint"
)

// mergeWidth is how many segments of a level become one run of the next.
const mergeWidth = 24

// offerMerge says that a job has a segment more. When too many jobs wait for a merge it is forgotten; the next one says so again.
func (w *Writer) offerMerge(job string) {
	select {
	case w.merges <- job:
	default:
	}
}

// mergeAll merges segments in the background, one run at a time, until ctx ends.
func (w *Writer) mergeAll(ctx context.Context) {
	for {
		select {
		case job := <-w.merges:
			if err := w.mergeJob(ctx, job); err != nil && ctx.Err() == nil {
				w.o.Log.Info("segments stay unmerged for now", "job", job, "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// mergeJob merges this worker's segments of a job while there are enough of a level. Every worker merges its own, so that two
// never work on the same.
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
		r := runMaker{w.o.Store, place, func() string { return w.key(place.Prefix, ".run") }}
		old, read, err := r.replace(ctx, own)
		if err == nil {
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

// mostKept bounds the keys of merged segments that wait for a publisher.
const mostKept = 4096

// bury deletes the objects of segments that were merged. While a publisher may be at them, they wait for the job's next merge that
// finds none reading; those that no merge comes for are left to the clean-up, as they are when too many wait. Only mergeAll calls it.
func (w *Writer) bury(ctx context.Context, job string, b blob.Bucket, old []string, read bool) error {
	dead := append(w.kept[job], old...)
	if read {
		if w.kept[job] = dead; w.waiting() > mostKept {
			clear(w.kept)
		}
		return nil
	}
	delete(w.kept, job)
	for part := range slices.Chunk(dead, deleteAtOnce) {
		if err := b.Delete(ctx, part...); err != nil {
			return fmt.Errorf("delete merged segments: %w", err) // the clean-up will
		}
	}
	return nil
}

// waiting is how many merged segments wait for publishers.
func (w *Writer) waiting() (n int) {
	for _, keys := range w.kept {
		n += len(keys)
	}
	return n
}

// mergeable returns the segments of this worker that the next run is made of, all of one level, or nil.
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
	key   func() string // of a new object
}

// replaceTries is how often a run is offered to the store before it is left to the clean-up.
const replaceTries = 3

// replace merges segs into one run and puts it in their place. Nothing names the old objects then, but a publisher may be reading them.
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
	for try := 1; ; try++ {
		if read, err = r.store.ReplaceSegments(ctx, run.Job, old, run); err == nil {
			break
		}
		if try == replaceTries {
			return nil, false, errors.Join(err, r.withdraw(ctx, run, old))
		}
		if err := pause(ctx, firstDelay<<try); err != nil {
			return nil, false, err
		}
	}
	failpoint.Here("results.exchanged")
	return old, read, nil
}

// withdraw deletes the object of a run that the store can never take, because one of the segments it replaces is gone. Any other
// run may yet turn out to have been taken, and is left to the clean-up.
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
	in, err := merge(ctx, r.place.Output, segs, false)
	if err != nil {
		return batholith.Segment{}, err
	}
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
	}
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

// newID is a part of a key that no other process makes.
func newID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
