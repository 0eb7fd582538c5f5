package s3serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// Near returns a bucket for the process that embeds the server: the calls that jobs make most, about whole objects of some size, reach the
// store without HTTP, signature and XML, which cost more than the store does. They are checked and stored as a request with this access
// key is. owner is the account that must own the bucket, "" for any; encrypted asks the server to encrypt what is written.
//
// far is the same bucket over HTTP, as the same caller. What near does not do itself goes there: uploads in parts, long lists, objects that
// are encrypted, and buckets that lock objects. So does every call that failed near, since repeating a call is safe: far says what the
// error means, and whether it may pass. A call that is called off, or takes longer than nearTime, ends at once; as with a request that
// was called off, what it asked for may happen all the same.
func (s *Server) Near(accessKeyID, name, owner string, encrypted bool, far blob.Bucket) blob.Bucket {
	if encrypted {
		return far // which refuses
	}
	return &near{Bucket: far, store: s.store, key: accessKeyID, name: name, owner: owner}
}

const (
	nearTime  = time.Minute // for a call
	nearBytes = 8 << 20     // of an object that Put takes near
	bytesRead = 64 << 10    // of a range that is read into memory at once; a larger one is read from its file as it is asked for
)

// near is a bucket of the embedded server. Its methods may be called by any goroutine.
type near struct {
	blob.Bucket // over HTTP
	store       *store
	key, name   string
	owner       string // that the bucket must have; "" for any
}

var (
	_ blob.Bucket       = (*near)(nil)
	_ blob.UploadLister = (*near)(nil)
)

// errNotNear sends a call to the bucket over HTTP.
var errNotNear = errors.New("the call is left to HTTP")

// do runs a call with the caller's account. It returns when the call has, or when ctx ends: a disk that hangs does not hold up the caller.
// What a call returns that was given up goes to drop, if there is one.
func do[R any](ctx context.Context, n *near, drop func(R), f func(ctx context.Context) (R, error)) (out R, err error) {
	account, err := n.store.accounts.GetUserAccount(n.key)
	if err != nil {
		return out, err
	}
	ctx, cancel := context.WithTimeout(ctx, nearTime)
	defer cancel()
	type result struct {
		out R
		err error
	}
	done := make(chan result, 1) // the call sends once
	go func() {
		var r result
		err := batholith.Guard("a call of the embedded S3", func() error {
			ctx := context.WithValue(context.WithoutCancel(ctx), "account", account) //nolint:staticcheck // the gateway's key
			if r.err = n.owned(ctx); r.err == nil {
				r.out, r.err = f(ctx)
			}
			return r.err
		})
		done <- result{r.out, err}
	}()
	select {
	case r := <-done:
		return r.out, r.err
	case <-ctx.Done():
	}
	if drop != nil {
		go func() {
			if r := <-done; r.err == nil {
				drop(r.out)
			}
		}()
	}
	return out, fmt.Errorf("the embedded S3: %w", context.Cause(ctx))
}

// over tells whether a call is over: it succeeded, or its context ended. Any other call is repeated over HTTP.
func over(ctx context.Context, err error) bool {
	return err == nil || ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded)
}

// owned is errNotNear for a bucket that is not the expected owner's. The gateway asks before it calls the store. A bucket keeps the owner that
// it was made with, also when the server is configured with another account later.
func (n *near) owned(ctx context.Context) error {
	if n.owner == "" {
		return nil
	}
	path := n.store.path(n.name)
	text, err := n.store.posix.GetBucketAcl(ctx, &s3.GetBucketAclInput{Bucket: &path})
	if err != nil {
		return errNotNear
	}
	if acl, err := auth.ParseACL(text); err != nil || acl.Owner != n.owner {
		return errNotNear
	}
	return nil
}

// unlocked is errNotNear for a bucket that locks objects: what may be replaced or deleted there is decided before the store is asked.
func (n *near) unlocked(ctx context.Context) error {
	_, err := n.store.posix.GetObjectLockConfiguration(ctx, n.store.path(n.name))
	if errors.Is(err, s3err.GetAPIError(s3err.ErrObjectLockConfigurationNotFound)) {
		return nil
	}
	return errNotNear
}

func (n *near) Put(ctx context.Context, key string, body []byte) error {
	if len(body) > nearBytes {
		return n.Bucket.Put(ctx, key, body)
	}
	_, err := do(ctx, n, nil, func(ctx context.Context) (s3response.PutObjectOutput, error) {
		if err := n.unlocked(ctx); err != nil {
			return s3response.PutObjectOutput{}, err
		}
		return n.store.PutObject(ctx, s3response.PutObjectInput{Bucket: aws.String(n.name), Key: &key, ContentLength: aws.Int64(int64(len(body))),
			ContentType: aws.String("application/octet-stream"), Body: bytes.NewReader(body)})
	})
	if over(ctx, err) {
		return err
	}
	return n.Bucket.Put(ctx, key, body)
}

func (n *near) Head(ctx context.Context, key string) (batholith.Object, error) {
	out, err := do(ctx, n, nil, func(ctx context.Context) (*s3.HeadObjectOutput, error) {
		return n.store.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &n.name, Key: &key})
	})
	if err == nil {
		return batholith.Object{Key: key, Bytes: aws.ToInt64(out.ContentLength), ETag: bare(out.ETag),
			Modified: aws.ToTime(out.LastModified).Truncate(time.Second)}, nil // HTTP has no finer times
	}
	if over(ctx, err) {
		return batholith.Object{}, err
	}
	return n.Bucket.Head(ctx, key)
}

func (n *near) Read(ctx context.Context, key, etag string, offset, length int64) (io.ReadCloser, error) {
	if length <= 0 {
		return n.Bucket.Read(ctx, key, etag, offset, length)
	}
	in := &s3.GetObjectInput{Bucket: &n.name, Key: &key, Range: aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))}
	if etag != "" {
		in.IfMatch = &etag
	}
	body, err := do(ctx, n, func(b io.ReadCloser) { b.Close() }, func(ctx context.Context) (io.ReadCloser, error) {
		out, err := n.store.GetObject(ctx, in)
		if err != nil {
			return nil, err
		}
		if aws.ToInt64(out.ContentLength) != length { // an object that is shorter is an error
			return nil, errors.Join(errNotNear, out.Body.Close())
		}
		if length > bytesRead {
			return &wholeBody{ReadCloser: out.Body, left: length}, nil
		}
		defer out.Body.Close()
		body := make([]byte, length)
		_, err = io.ReadFull(out.Body, body)
		return io.NopCloser(bytes.NewReader(body)), err
	})
	if over(ctx, err) {
		return body, err
	}
	return n.Bucket.Read(ctx, key, etag, offset, length)
}

// wholeBody is a body of which no byte may be missing at its end.
type wholeBody struct {
	io.ReadCloser
	left int64
}

func (b *wholeBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); err == io.EOF && b.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (n *near) Delete(ctx context.Context, keys ...string) error {
	if len(keys) == 0 || len(keys) > mostDeleted {
		return n.Bucket.Delete(ctx, keys...)
	}
	_, err := do(ctx, n, nil, func(ctx context.Context) (none struct{}, err error) {
		if err := n.unlocked(ctx); err != nil {
			return none, err
		}
		objects := make([]types.ObjectIdentifier, len(keys))
		for i := range keys {
			objects[i].Key = &keys[i]
		}
		out, err := n.store.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &n.name, Delete: &types.Delete{Objects: objects}})
		if err == nil && len(out.Error) > 0 {
			err = errNotNear
		}
		return none, err
	})
	if over(ctx, err) {
		return err
	}
	return n.Bucket.Delete(ctx, keys...)
}

// List lists near what fits into one page.
func (n *near) List(ctx context.Context, prefix string) iter.Seq2[batholith.Object, error] {
	return func(yield func(batholith.Object, error) bool) {
		page, err := do(ctx, n, nil, func(ctx context.Context) (s3response.ListObjectsV2Result, error) {
			out, err := n.store.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &n.name, Prefix: &prefix, MaxKeys: aws.Int32(mostDeleted),
				ContinuationToken: aws.String(""), Delimiter: aws.String(""), StartAfter: aws.String("")})
			if err == nil && aws.ToBool(out.IsTruncated) {
				err = errNotNear
			}
			return out, err
		})
		switch {
		case err == nil:
			listed(page.Contents)(yield)
		case over(ctx, err):
			yield(batholith.Object{}, err)
		default:
			n.Bucket.List(ctx, prefix)(yield)
		}
	}
}

func listed(objects []s3response.Object) iter.Seq2[batholith.Object, error] {
	return func(yield func(batholith.Object, error) bool) {
		for _, o := range objects {
			object := batholith.Object{Key: aws.ToString(o.Key), Bytes: aws.ToInt64(o.Size), ETag: bare(o.ETag), Modified: aws.ToTime(o.LastModified)}
			if !yield(object, nil) {
				return
			}
		}
	}
}

// ListUploads answers near only that there are no uploads, which is how it is with nearly every job.
func (n *near) ListUploads(ctx context.Context, prefix string) iter.Seq2[batholith.Upload, error] {
	return n.UploadsOf(ctx, prefix, nil)
}

func (n *near) UploadsOf(ctx context.Context, prefix string, keys []string) iter.Seq2[batholith.Upload, error] {
	none, err := do(ctx, n, nil, func(ctx context.Context) (bool, error) {
		out, err := n.store.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &n.name, Prefix: &prefix, MaxUploads: aws.Int32(1),
			KeyMarker: aws.String(""), UploadIdMarker: aws.String(""), Delimiter: aws.String("")})
		return len(out.Uploads) == 0 && !out.IsTruncated, err
	})
	switch {
	case err == nil && none:
		return func(func(batholith.Upload, error) bool) {}
	case !over(ctx, err) || err == nil:
		return blob.Uploads(ctx, n.Bucket, prefix, slices.Clone(keys))
	}
	return func(yield func(batholith.Upload, error) bool) { yield(batholith.Upload{}, err) }
}

// bare is an ETag without its quotes.
func bare(etag *string) string { return strings.Trim(aws.ToString(etag), `"`) }
