package results

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// A shelf holds, on the worker's own disk, the segments of failing jobs that the output bucket does not take: access was denied, the
// bucket is gone, its disk is full. The store names a shelved segment like any other, by a key of its own scheme:
//
//	shelf:<worker>/<job>/<worker>-<boot>-<n>.seg
//
// So a finished outcome is committed in any case, and a publication reads bucket and shelf alike once the bucket takes the output.
// Only the worker that wrote it can read a shelved segment; any other worker gets an error that names the worker, never "not found":
// a segment on another disk is not lost.
type shelf struct {
	bucket blob.Bucket // nil: the worker has no shelf
	worker string
}

// shelfScheme begins the keys of shelved segments. No key in a bucket begins with it, since all that Batholith writes there lies below a
// job's prefix.
const shelfScheme = "shelf:"

// key names a segment of a job on the shelf.
func (s shelf) key(job, name string) string { return shelfScheme + s.worker + "/" + job + "/" + name }

// local is the place on this worker's shelf that a key names. It is not ok for the key of an object in the bucket.
func (s shelf) local(key string) (path string, ok bool, err error) {
	rest, ok := strings.CutPrefix(key, shelfScheme)
	if !ok {
		return "", false, nil
	}
	worker, path, _ := strings.Cut(rest, "/")
	if worker != s.worker || s.bucket == nil {
		return "", true, fmt.Errorf("the segment %s is on the disk of the worker %s: publish the job there", path, worker)
	}
	return path, true, nil
}

// over makes an opener whose output buckets find shelved segments too.
func (s shelf) over(open Opener) Opener {
	return func(ctx context.Context, job string) (blob.Place, error) {
		place, err := open(ctx, job)
		if err == nil {
			place.Output = shelved{place.Output, s}
		}
		return place, err
	}
}

// clear deletes a job's segments from the shelf.
func (s shelf) clear(ctx context.Context, job string) error {
	if s.bucket == nil {
		return nil
	}
	return empty(ctx, s.bucket, job+"/")
}

// shelved is a bucket that finds the segments of a shelf by their keys. Everything else is the bucket's.
type shelved struct {
	blob.Bucket
	shelf shelf
}

// URI names an object of the bucket, or a file of the shelf.
func (b shelved) URI(key string) string {
	if path, ok, err := b.shelf.local(key); ok && err == nil {
		return blob.URI(b.shelf.bucket, path)
	}
	return blob.URI(b.Bucket, key)
}

// UploadsOf lists the bucket's uploads, by their keys where nothing else lists them. A shelf has none.
func (b shelved) UploadsOf(ctx context.Context, prefix string, keys []string) iter.Seq2[batholith.Upload, error] {
	return blob.Uploads(ctx, b.Bucket, prefix, keys)
}

func (b shelved) Head(ctx context.Context, key string) (batholith.Object, error) {
	path, ok, err := b.shelf.local(key)
	switch {
	case err != nil:
		return batholith.Object{}, err
	case ok:
		return b.shelf.bucket.Head(ctx, path)
	}
	return b.Bucket.Head(ctx, key)
}

func (b shelved) Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error) {
	path, ok, err := b.shelf.local(key)
	switch {
	case err != nil:
		return nil, err
	case ok:
		return b.shelf.bucket.Read(ctx, path, etag, offset, n)
	}
	return b.Bucket.Read(ctx, key, etag, offset, n)
}

// Delete removes objects and shelved segments. What is on another worker's shelf stays there until that worker cleans up.
func (b shelved) Delete(ctx context.Context, keys ...string) error {
	var objects []string
	for _, key := range keys {
		path, ok, err := b.shelf.local(key)
		switch {
		case !ok:
			objects = append(objects, key)
		case err == nil:
			if err := b.shelf.bucket.Delete(ctx, path); err != nil {
				return err
			}
		}
	}
	if len(objects) == 0 {
		return nil
	}
	return b.Bucket.Delete(ctx, objects...)
}

// lastTry is what the bucket of a failing job gets for a segment before the segment goes to the shelf.
const lastTry = 10 * time.Second

// Shelve says that a job is failing: whatever of it the bucket refuses from now on is committed all the same, on the worker's shelf.
// Without a shelf its outcomes are given up, as by Drop. It may be called again, and of a job that has nothing pending.
func (w *Writer) Shelve(job string) {
	if w.shelf.bucket == nil {
		w.Drop(job)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failing[job] = true
	if q := w.queues[job]; q != nil {
		q.nudge()
	}
}

// Unshelve ends Shelve, for a job that is over.
func (w *Writer) Unshelve(job string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.failing, job)
}

// shelving tells whether a job is failing, so that its segments may go to the shelf.
func (w *Writer) shelving(job string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failing[job]
}

// putOrShelve stores a segment in the bucket. While the job is failing, the bucket gets one short try, and then the shelf takes it. The
// body is the same in both places; only the key, which the commit names, tells where it is. A try of the bucket that took effect after
// all leaves an object that no commit names, which the clean-up deletes.
func (w *Writer) putOrShelve(ctx context.Context, p *parcel) error {
	if !w.shelving(p.job()) {
		return w.put(ctx, p)
	}
	try, cancel := context.WithTimeout(ctx, lastTry)
	defer cancel()
	err := w.put(try, p)
	if err == nil || ctx.Err() != nil {
		return err
	}
	w.o.Log.Warn("the segment of a failing job goes to this worker's disk", "job", p.job(), "outcomes", len(p.items), "err", err)
	name := fmt.Sprintf("%s-%s-%d.seg", w.o.Worker, w.boot, w.made.Add(1))
	key := w.shelf.key(p.job(), name)
	if p.body == nil { // the place did not even open
		if p.body, p.commit, err = encode(p, key); err != nil {
			return err
		}
	}
	p.commit.Segment.Key = key
	path, _, err := w.shelf.local(key)
	if err != nil {
		return err
	}
	if err := w.shelf.bucket.Put(ctx, path, p.body); err != nil {
		return fmt.Errorf("keep a segment on this worker's disk: %w", err)
	}
	p.place, p.stored, p.body = blob.Place{Output: shelved{p.place.Output, w.shelf}}, true, nil
	return nil
}
