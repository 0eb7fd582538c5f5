package results

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// Clean deletes a job's temporary objects and aborts its uploads. It may be repeated.
func (p *Publisher) Clean(ctx context.Context, job batholith.Job) error {
	if err := p.shelf.clear(ctx, job.ID); err != nil {
		return fmt.Errorf("clear the shelf of job %s: %w", job.ID, err)
	}
	place, err := p.o.Open(ctx, job.ID)
	if err == nil {
		err = p.abort(ctx, job.ID, place, func(batholith.Upload) bool { return true })
	}
	if err == nil {
		err = p.abortUnknown(ctx, job.ID, place, job.OutputLines == batholith.LinesOpenAI)
	}
	if err == nil {
		err = empty(ctx, place.Output, place.Prefix+hidden)
	}

	if err != nil {
		return fmt.Errorf("clean up after job %s: %w", job.ID, err)
	}
	return nil
}

// supersede aborts the uploads of publishers before this epoch, and of earlier attempts under it. It leaves uploads of later epochs alone:
// then this publisher was replaced, and gets an error later. If the role may write but not abort, the publication continues; a late write
// may then appear.
func (p *Publisher) supersede(ctx context.Context, job string, place blob.Place, epoch int64) error {
	err := p.abort(ctx, job, place, func(u batholith.Upload) bool {
		return u.Epoch <= epoch && !strings.HasPrefix(u.Key, place.Prefix+hidden)
	})
	if blob.Permanent(err) {
		p.o.Log.Warn("an upload of an earlier publication cannot be aborted; allow s3:AbortMultipartUpload to the role", "job", job, "err", err)
		return nil
	}
	return err
}

// keyed is the number of a job's outputs that are searched for uploads one by one. More would delay the job's end.
const keyed = 1000

// abortUnknown aborts the uploads that the bucket lists below the job's prefix: a crash may have prevented the store from noting them. If
// the bucket cannot list uploads, or denies it to the role, such uploads are left to expire. openAI: the lines of failed records are in objects of
// their own.
func (p *Publisher) abortUnknown(ctx context.Context, job string, place blob.Place, openAI bool) error {
	files, err := p.o.Store.Files(ctx, job)
	if err != nil {
		return err
	}
	keys := []string{place.Prefix + batholith.ManifestName}
	for _, f := range files[:min(len(files), keyed)] {
		if keys = append(keys, place.Prefix+f.Output); f.Index != "" {
			keys = append(keys, f.Index)
		}
		if openAI {
			keys = append(keys, place.Prefix+errorsKey(f.Output))
		}
	}
	b := place.Output
	var all []batholith.Upload
	for u, err := range blob.Uploads(ctx, b, place.Prefix, keys) {
		if blob.Permanent(err) {
			return nil
		}
		if err != nil {
			return err
		}
		all = append(all, u)
	}
	return eachOf(ctx, all, func(ctx context.Context, u batholith.Upload) error {
		if err := b.AbortUpload(ctx, u.Key, u.UploadID); err != nil && !errors.Is(err, batholith.ErrNoObject) {
			return err
		}
		return nil
	})
}

// abortsAtOnce is the number of a job's uploads that are aborted in parallel.
const abortsAtOnce = 32

// eachOf calls do for every upload, some in parallel, and returns the first error.
func eachOf(ctx context.Context, all []batholith.Upload, do func(context.Context, batholith.Upload) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(abortsAtOnce)
	for _, u := range all {
		g.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return do(ctx, u)
		})
	}
	return g.Wait()
}

// abort aborts the job's uploads that wanted accepts, and deletes them from the store.
func (p *Publisher) abort(ctx context.Context, job string, place blob.Place, wanted func(batholith.Upload) bool) error {
	uploads, err := p.o.Store.Uploads(ctx, job)
	if err != nil {
		return err
	}
	unwanted := slices.DeleteFunc(slices.Clone(uploads), func(u batholith.Upload) bool { return !wanted(u) })
	return eachOf(ctx, unwanted, func(ctx context.Context, u batholith.Upload) error {
		if err := place.Output.AbortUpload(ctx, u.Key, u.UploadID); err != nil && !errors.Is(err, batholith.ErrNoObject) {
			return err
		}
		return p.o.Store.DeleteUpload(ctx, u)
	})
}

// deleteAtOnce is the number of objects that S3 deletes in one call (API reference, DeleteObjects).
const deleteAtOnce = 1000

// empty deletes all objects below a prefix.
func empty(ctx context.Context, b blob.Bucket, prefix string) error {
	var keys []string
	for o, err := range b.List(ctx, prefix) {
		if err != nil {
			return err
		}
		if keys = append(keys, o.Key); len(keys) == deleteAtOnce {
			if err := b.Delete(ctx, keys...); err != nil {
				return err
			}
			keys = keys[:0]
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return b.Delete(ctx, keys...)
}
