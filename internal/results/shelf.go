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

// A shelf holds, on the worker's own disk, segments of failing jobs that the output bucket refuses: access is denied, the
// bucket does not exist, its disk is full. The store names a shelved segment like any other, by a key with its own scheme:
//
//	shelf:<worker>/<job>/<worker>-<boot>-<n>.seg
//
// So finished outcomes are committed in any case, and a publication reads segments from bucket and shelf alike.
// Only the worker that wrote a shelved segment can read it. Any other worker gets an error that names that worker, never "not found":
// a segment on another disk is not lost.
type shelf struct {
	bucket blob.Bucket // nil: the worker has no shelf
	worker string
}

// shelfScheme begins the keys of shelved segments. No key in a bucket begins with it, since Batholith writes only below a job's prefix.
const shelfScheme = "shelf:"

// key is the key of a segment of a job on the shelf.
func (s shelf) key(job, name string) string { return shelfScheme + s.worker + "/" + job + "/" + name }

// local returns the path of a key on this worker's shelf. ok is false for the key of an object in the bucket.
func (s shelf) local(key string) (path string, ok bool, err error) {
	rest, ok := strings.CutPrefix(key, shelfScheme)
	if !ok {
		return "", false, nil
	}
	worker, path, _ := strings.Cut(rest, "/")
	if worker != s.worker || s.bucket == nil {
		return "", true, &batholith.ElsewhereError{Worker: worker, Segment: path}
	}
	return path, true, nil
}

// over wraps an opener, so that its output buckets also find shelved segments.
func (s shelf) over(open Opener) Opener {
	return func(ctx context.Context, job string) (blob.Place, error) {
		place, err := open(ctx, job)
		if err == nil {
			place.Output = shelved{place.Output, s}
		}
		return place, err
	}
}

// clear deletes a job's segments on the shelf.
func (s shelf) clear(ctx context.Context, job string) error {
	if s.bucket == nil {
		return nil
	}
	return empty(ctx, s.bucket, job+"/")
}

// shelved is a bucket that also finds segments on the shelf by their keys.
type shelved struct {
	blob.Bucket
	shelf shelf
}

// URI is the URI of an object in the bucket, or of a file on the shelf.
func (b shelved) URI(key string) string {
	if path, ok, err := b.shelf.local(key); ok && err == nil {
		return blob.URI(b.shelf.bucket, path)
	}
	return blob.URI(b.Bucket, key)
}

// UploadsOf lists the bucket's uploads (see blob.Uploads). A shelf has none.
func (b shelved) UploadsOf(ctx context.Context, prefix string, keys []string) iter.Seq2[batholith.Upload, error] {
	return blob.Uploads(ctx, b.Bucket, prefix, keys)
}

// Head describes an object, or a segment on the shelf.
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

// Read reads a part of an object, or of a segment on the shelf.
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

// Delete deletes objects and shelved segments. Segments on another worker's shelf stay until that worker cleans up.
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

// lastTry is the timeout of writing a failing job's segment to the bucket, before it is written to the shelf.
const lastTry = 10 * time.Second

// Shelve notes that a job is failing: its segments that the bucket refuses are committed on the worker's shelf from now on. Without a shelf
// its outcomes are given up, as by Drop. It may be called again, and for a job with nothing pending.
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

// Unshelve ends Shelve for a job that is terminal.
func (w *Writer) Unshelve(job string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.failing, job)
}

// shelving reports whether a job is failing, so that its segments may be written to the shelf.
func (w *Writer) shelving(job string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failing[job]
}

// putOrShelve stores a segment. If the job is failing, it tries the bucket once, for lastTry, and then writes to the shelf. The bytes are
// the same in both places; the key in the commit says where the segment is. If the attempt in the bucket took effect after all, no commit
// names that object, and the clean-up deletes it.
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
	w.o.Log.Warn("the bucket refuses a segment of a failing job; it is kept on this worker's disk", "job", p.job(), "outcomes", len(p.items), "err", err)
	name := fmt.Sprintf("%s-%s-%d.seg", w.o.Worker, w.boot, w.made.Add(1))
	key := w.shelf.key(p.job(), name)
	if p.body == nil { // the bucket could not be opened
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
