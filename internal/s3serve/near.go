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

// Near returns a bucket for the process that embeds the server. It handles the most frequent
// calls of jobs, on whole objects of moderate size, without HTTP, signatures and XML, which
// cost more than the storage itself. Calls are checked and stored like requests with this
// access key. owner is the account that must own the bucket, "": any. kmsKey names the key that
// encrypts what is written (SSE-KMS), "": the default encryption of the bucket.
//
// far is the same bucket over HTTP, with the same caller. It gets what near does not handle:
// multipart uploads, long lists, and buckets with object lock. It also gets every call that
// failed, because a repetition is safe and its error tells whether it is permanent. A call that
// is cancelled, or takes longer than nearTime, returns at once; its effect may still happen, as
// with a cancelled request.
func (s *Server) Near(accessKeyID, name, owner, kmsKey string, far blob.Bucket) blob.Bucket {
	n := &near{Bucket: far, store: s.store, key: accessKeyID, name: name, owner: owner}
	if kmsKey != "" {
		n.wish = wish{algorithm: sseKMS, key: kmsKey}
	}
	return n
}

const (
	nearTime  = time.Minute // time limit of one call
	nearBytes = 8 << 20     // largest object that Put handles here
	bytesRead = 64 << 10    // up to this many bytes are read into memory at once; a larger range is read from its file on demand
)

// near is a bucket of the embedded server. It is safe for concurrent use.
type near struct {
	blob.Bucket // over HTTP
	store       *store
	key, name   string
	who         *Account // the caller, in place of the access key; nil: the key's
	wish        wish     // how written objects are encrypted
	owner       string   // required owner of the bucket; "": any
}

var (
	_ blob.Bucket       = (*near)(nil)
	_ blob.UploadLister = (*near)(nil)
)

// errNotNear passes a call on to the bucket over HTTP.
var errNotNear = errors.New("the call is left to HTTP")

// do runs f with the caller's account, which must be allowed to do this. It returns when f has, or when ctx ends, so a disk that
// hangs does not block the caller. If f succeeds after that, its result is passed to drop,
// which may be nil.
func do[R any](ctx context.Context, n *near, what act, drop func(R), f func(ctx context.Context) (R, error)) (out R, err error) {
	ended := func() error { return fmt.Errorf("the embedded S3: %w", context.Cause(ctx)) }
	if ctx.Err() != nil {
		return out, ended()
	}
	account, err := n.account()
	if err != nil {
		return out, err
	}
	ctx, cancel := context.WithTimeout(ctx, nearTime)
	defer cancel()
	type result struct {
		out R
		err error
	}
	done := make(chan result, 1) // buffered: the goroutine must not block if nobody receives
	go func() {
		var r result
		err := batholith.Guard("a call of the embedded S3", func() error {
			ctx := context.WithValue(context.WithoutCancel(ctx), "account", account) //nolint:staticcheck // the gateway's key
			if n.who != nil {
				ctx = context.WithValue(ctx, sessionKey, *n.who) //nolint:staticcheck // a request has it under this name too
			}
			if r.err = n.owned(ctx, what); r.err == nil {
				r.out, r.err = f(ctx)
			}
			return r.err
		})
		done <- result{r.out, err}
	}()
	select {
	case r := <-done:
		if r.err != nil && ctx.Err() != nil {
			return out, ended() // nothing tells over HTTP any more what r.err means
		}
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
	return out, ended()
}

// account returns the account that the gateway sees as the caller.
func (n *near) account() (auth.Account, error) {
	if n.who != nil {
		return auth.Account{Access: unnamed, Role: auth.RoleAdmin}, nil
	}
	return n.store.accounts.GetUserAccount(n.key)
}

// over reports whether the result is final: the call succeeded or its context ended. Otherwise
// it is repeated over HTTP.
func over(ctx context.Context, err error) bool {
	return err == nil || ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded)
}

// owned returns an error if the bucket has another owner than expected, or the caller may not do this. Over HTTP, both are
// checked again.
func (n *near) owned(ctx context.Context, what act) error {
	what.bucket = n.name
	if err := n.store.ask(ctx, what); err != nil {
		return err
	}
	if n.owner == "" {
		return nil
	}
	owner, err := n.store.ownerOf(ctx, n.name)
	if err == nil && owner != n.owner {
		return n.store.denied(ctx)
	}
	return err
}

// unlocked returns errNotNear for a bucket with object lock: over HTTP, the gateway checks
// before the store whether an object may be replaced.
func (n *near) unlocked(ctx context.Context) error {
	_, err := n.store.posix.GetObjectLockConfiguration(ctx, n.store.path(n.name))
	if errors.Is(err, s3err.GetAPIError(s3err.ErrObjectLockConfigurationNotFound)) {
		return nil
	}
	return errNotNear
}

// Put implements blob.Bucket for objects of up to nearBytes.
func (n *near) Put(ctx context.Context, key string, body []byte) error {
	if len(body) > nearBytes {
		return n.Bucket.Put(ctx, key, body)
	}
	_, err := do(ctx, n, act{operation: "PutObject", key: key}, nil, func(ctx context.Context) (s3response.PutObjectOutput, error) {
		if err := n.unlocked(ctx); err != nil {
			return s3response.PutObjectOutput{}, err
		}
		ctx = context.WithValue(ctx, wishKey, n.wish) //nolint:staticcheck // a request has it under this name too
		return n.store.PutObject(ctx, s3response.PutObjectInput{Bucket: aws.String(n.name), Key: &key, ContentLength: aws.Int64(int64(len(body))),
			ContentType: aws.String("application/octet-stream"), Body: bytes.NewReader(body)})
	})
	if over(ctx, err) {
		return err
	}
	return n.Bucket.Put(ctx, key, body)
}

// Head implements blob.Bucket.
func (n *near) Head(ctx context.Context, key string) (batholith.Object, error) {
	o, err := n.head(ctx, key)
	if over(ctx, err) {
		return o, err
	}
	return n.Bucket.Head(ctx, key)
}

// head is Head without HTTP.
func (n *near) head(ctx context.Context, key string) (batholith.Object, error) {
	out, err := do(ctx, n, act{operation: "HeadObject", key: key}, nil, func(ctx context.Context) (*s3.HeadObjectOutput, error) {
		return n.store.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &n.name, Key: &key})
	})
	if err != nil {
		return batholith.Object{}, err
	}
	return batholith.Object{Key: key, Bytes: aws.ToInt64(out.ContentLength), ETag: bare(out.ETag),
		Modified: aws.ToTime(out.LastModified).Truncate(time.Second)}, nil // HTTP dates have full seconds
}

// Read implements blob.Bucket for ranges of known length.
func (n *near) Read(ctx context.Context, key, etag string, offset, length int64) (io.ReadCloser, error) {
	if length <= 0 {
		return n.Bucket.Read(ctx, key, etag, offset, length)
	}
	body, err := n.read(ctx, key, etag, offset, length)
	if over(ctx, err) {
		return body, err
	}
	return n.Bucket.Read(ctx, key, etag, offset, length)
}

// read is Read without HTTP.
func (n *near) read(ctx context.Context, key, etag string, offset, length int64) (io.ReadCloser, error) {
	in := &s3.GetObjectInput{Bucket: &n.name, Key: &key, Range: aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))}
	if etag != "" {
		in.IfMatch = &etag
	}
	return do(ctx, n, act{operation: "GetObject", key: key}, func(b io.ReadCloser) { b.Close() }, func(ctx context.Context) (io.ReadCloser, error) {
		out, err := n.store.GetObject(ctx, in)
		if err != nil {
			return nil, err
		}
		if aws.ToInt64(out.ContentLength) != length { // the object is shorter than the range, which is an error
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
}

// wholeBody is a body that reports io.ErrUnexpectedEOF if bytes are missing at its end.
type wholeBody struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (b *wholeBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); err == io.EOF && b.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Delete implements blob.Bucket for up to mostDeleted keys.
func (n *near) Delete(ctx context.Context, keys ...string) error {
	if len(keys) == 0 || len(keys) > mostDeleted {
		return n.Bucket.Delete(ctx, keys...)
	}
	_, err := do(ctx, n, act{operation: "DeleteObjects"}, nil, func(ctx context.Context) (none struct{}, err error) {
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

// List implements blob.Bucket for lists of one page.
func (n *near) List(ctx context.Context, prefix string) iter.Seq2[batholith.Object, error] {
	return func(yield func(batholith.Object, error) bool) {
		page, err := do(ctx, n, act{operation: "ListObjectsV2", prefix: prefix}, nil, func(ctx context.Context) (s3response.ListObjectsV2Result, error) {
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

// listed yields the objects of a page.
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

// ListUploads handles only the case that there are no uploads, which is nearly always true.
func (n *near) ListUploads(ctx context.Context, prefix string) iter.Seq2[batholith.Upload, error] {
	return n.UploadsOf(ctx, prefix, nil)
}

// UploadsOf implements blob.UploadLister like ListUploads.
func (n *near) UploadsOf(ctx context.Context, prefix string, keys []string) iter.Seq2[batholith.Upload, error] {
	none, err := do(ctx, n, act{operation: "ListMultipartUploads", prefix: prefix}, nil, func(ctx context.Context) (bool, error) {
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

// bare removes the quotes of an ETag.
func bare(etag *string) string { return strings.Trim(aws.ToString(etag), `"`) }
