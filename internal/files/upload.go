package files

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"strings"

	"github.com/batholith/batholith"
)

// An upload is a directory in scratch. It has a file for each part, named by the part's number and ETag, so that a part may be sent
// twice and the completion says which one counts; and a file named "key" with the upload's key.

// maxComplete is the number of completed uploads that are remembered, so that CompleteUpload may be repeated.
const maxComplete = 64

const (
	uploadPrefix = "upload-"
	keyName      = "key"
)

// errNoUpload: the upload was never begun, or is completed or aborted.
var errNoUpload = errors.New("no such upload")

// uploadDir is the directory of an upload.
func uploadDir(key, id string) string {
	sum := md5.Sum([]byte(key)) // an id is only valid with its key
	return fmt.Sprintf("%s/%s%s-%x", scratch, uploadPrefix, id, sum[:6])
}

// partName is the file of a part.
func partName(dir string, n int, etag string) string { return fmt.Sprintf("%s/%05d.%s", dir, n, etag) }

// CreateUpload begins an upload.
func (o *Output) CreateUpload(ctx context.Context, key string) (string, error) {
	if err := check(ctx, "begin upload of", key); err != nil {
		return "", err
	}
	id := rand.Text()
	dir := uploadDir(key, id)
	o.dirs.RLock()
	err := o.root.MkdirAll(dir, 0o777&^o.mask)
	o.dirs.RUnlock()
	if err == nil {
		_, err = o.write(dir+"/"+keyName, func(f *os.File) error {
			_, err := f.WriteString(key)
			return err
		})
	}
	if err == nil {
		err = o.syncUp(dir)
	}
	if err != nil {
		return "", fmt.Errorf("begin upload of %s: %w", key, err)
	}
	return id, nil
}

// UploadPart writes part n, counted from 1.
func (o *Output) UploadPart(ctx context.Context, key, id string, n int, body []byte) (string, error) {
	if err := check(ctx, "upload part of", key); err != nil {
		return "", err
	}
	dir := uploadDir(key, id)
	if _, err := o.root.Stat(dir); err != nil {
		return "", fmt.Errorf("upload part %d of %s: %w", n, key, errNoUpload)
	}
	etag := rand.Text() // it only has to differ for each part that is sent
	tmp, err := o.write(dir+"/part-"+rand.Text(), func(f *os.File) error {
		_, err := f.Write(body)
		return err
	})
	if err == nil {
		err = o.root.Rename(tmp, partName(dir, n, etag))
	}
	if err == nil {
		err = o.syncDir(dir)
	}
	if err != nil {
		return "", fmt.Errorf("upload part %d of %s: %w", n, key, err)
	}
	return etag, nil
}

// CompleteUpload joins the parts to the file. A repeated call succeeds as long as the file is the one that the first call made.
func (o *Output) CompleteUpload(ctx context.Context, key, id string, etags []string) error {
	if err := check(ctx, "complete upload of", key); err != nil {
		return err
	}
	defer o.end(id)()
	dir := uploadDir(key, id)
	if _, err := o.root.Stat(dir); err != nil {
		if info, err := o.Head(ctx, key); err == nil && info.ETag == o.completed(id) {
			return nil
		}
		return fmt.Errorf("complete upload of %s: %w", key, errNoUpload)
	}
	tmp, err := o.write(dir+"/whole", func(f *os.File) error { return o.join(ctx, f, dir, etags) })
	if err == nil {
		err = o.publish(tmp, key)
	}
	if err != nil {
		return fmt.Errorf("complete upload of %s: %w", key, err)
	}
	if info, err := o.Head(ctx, key); err == nil {
		o.remember(id, info.ETag)
	}
	return o.drop(dir) // the file is complete; parts that an error leaves are not visible
}

// end waits until no other call completes or aborts the upload. The caller must call done.
func (o *Output) end(id string) (done func()) {
	sum := md5.Sum([]byte(id))
	lock := &o.ending[int(sum[0])%len(o.ending)]
	lock.Lock()
	return lock.Unlock
}

// join copies the parts into f, inside the kernel if the system can.
func (o *Output) join(ctx context.Context, f *os.File, dir string, etags []string) error {
	if len(etags) == 0 {
		return errors.New("no parts")
	}
	for i, etag := range etags {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		part, err := o.root.Open(partName(dir, i+1, etag))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("part %d with ETag %s was not uploaded", i+1, etag)
		}
		if err != nil {
			return err
		}
		_, err = io.Copy(f, part)
		if err = errors.Join(err, part.Close()); err != nil {
			return err
		}
	}
	return nil
}

// remember notes a completed upload, and forgets the oldest above maxComplete.
func (o *Output) remember(id, etag string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.complete[id], o.order = etag, append(o.order, id)
	if len(o.order) > maxComplete {
		delete(o.complete, o.order[0])
		o.order = o.order[1:]
	}
}

// completed is the ETag of the object that an upload became; "" if it is not remembered.
func (o *Output) completed(id string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.complete[id]
}

// AbortUpload deletes an upload and its parts. A missing upload is no error.
func (o *Output) AbortUpload(ctx context.Context, key, id string) error {
	if err := check(ctx, "abort upload of", key); err != nil {
		return err
	}
	defer o.end(id)()
	if err := o.drop(uploadDir(key, id)); err != nil {
		return fmt.Errorf("abort upload of %s: %w", key, err)
	}
	return nil
}

// drop removes an upload's directory, and scratch if it becomes empty.
func (o *Output) drop(dir string) error {
	if err := o.root.RemoveAll(dir); err != nil {
		return err
	}
	return o.syncUp(o.prune(path.Dir(dir)))
}

// ListUploads yields the open uploads whose keys begin with prefix.
func (o *Output) ListUploads(ctx context.Context, prefix string) iter.Seq2[batholith.Upload, error] {
	return func(yield func(batholith.Upload, error) bool) {
		dirs, err := fs.ReadDir(o.root.FS(), scratch)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			yield(batholith.Upload{}, fmt.Errorf("list uploads: %w", err))
			return
		}
		for _, d := range dirs {
			if ctx.Err() != nil {
				yield(batholith.Upload{}, context.Cause(ctx))
				return
			}
			id, ours := strings.CutPrefix(d.Name(), uploadPrefix)
			key, err := o.root.ReadFile(path.Join(scratch, d.Name(), keyName))
			if !ours || err != nil || !strings.HasPrefix(string(key), prefix) {
				continue // removed meanwhile, or begun by a version that stored no key
			}
			id, _, _ = strings.Cut(id, "-")
			if !yield(batholith.Upload{Key: string(key), UploadID: id}, nil) {
				return
			}
		}
	}
}
