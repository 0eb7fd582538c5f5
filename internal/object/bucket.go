package object

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// Options apply to every request to a bucket.
type Options struct {
	Owner    string // account that must own the bucket, otherwise access is denied; "": any
	KMSKeyID string // encrypts written objects (SSE-KMS); "": the bucket's default encryption
}

var (
	_ blob.Bucket       = (*Bucket)(nil)
	_ blob.UploadLister = (*Bucket)(nil)
)

// Bucket implements [blob.Bucket] with the rights of one principal. It is safe for concurrent
// use.
type Bucket struct {
	api   *s3.Client
	name  string
	owner *string
	kms   string
	marks *marks // marks of the client's uploads, see marks
	// byPrefix is true if the server is known to list uploads by any prefix.
	byPrefix bool
}

// Bucket returns a handle of a bucket. It sends no request: a missing bucket shows at the first
// one.
func (c *Client) Bucket(name string, o Options) *Bucket {
	b := &Bucket{api: c.api, name: name, kms: o.KMSKeyID, marks: &c.marks, byPrefix: c.byPrefix}
	if o.Owner != "" {
		b.owner = &o.Owner
	}
	return b
}

// Name returns the bucket's name.
func (b *Bucket) Name() string { return b.name }

// List yields the objects whose keys begin with prefix, in the byte order of keys, one page of
// up to 1,000 at a time. An error is yielded with a zero Object and ends the list.
func (b *Bucket) List(ctx context.Context, prefix string) iter.Seq2[batholith.Object, error] {
	return func(yield func(batholith.Object, error) bool) {
		in := &s3.ListObjectsV2Input{Bucket: &b.name, ExpectedBucketOwner: b.owner}
		if prefix != "" {
			in.Prefix = &prefix
		}
		for {
			page, err := b.page(ctx, in)
			if err != nil {
				yield(batholith.Object{}, explain(err, "list", b.name, prefix))
				return
			}
			for _, o := range page.Contents {
				if !yield(listed(o), nil) {
					return
				}
			}
			if !aws.ToBool(page.IsTruncated) || aws.ToString(page.NextContinuationToken) == "" {
				return
			}
			in.ContinuationToken = page.NextContinuationToken
		}
	}
}

// page requests one page of a list, with the time limit of one request.
func (b *Bucket) page(ctx context.Context, in *s3.ListObjectsV2Input) (*s3.ListObjectsV2Output, error) {
	ctx, cancel := context.WithTimeout(ctx, limit(0))
	defer cancel()
	return b.api.ListObjectsV2(ctx, in)
}

func listed(o types.Object) batholith.Object {
	return batholith.Object{Key: aws.ToString(o.Key), Bytes: aws.ToInt64(o.Size), ETag: unquote(o.ETag),
		Modified: aws.ToTime(o.LastModified)}
}

// Head returns key, size, ETag and modification time of an object.
func (b *Bucket) Head(ctx context.Context, key string) (batholith.Object, error) {
	out, err := b.head(ctx, key)
	if err != nil {
		return batholith.Object{}, err
	}
	return batholith.Object{Key: key, Bytes: aws.ToInt64(out.ContentLength), ETag: unquote(out.ETag),
		Modified: aws.ToTime(out.LastModified)}, nil
}

// head sends a HEAD. An error answer to HEAD has no body, so a 400 or 403 does not tell expired
// keys, a wrong clock and a policy apart. In that case it sends a GET of one byte, whose error
// answer has a body.
func (b *Bucket) head(ctx context.Context, key string) (*s3.HeadObjectOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, limit(0))
	defer cancel()
	in := &s3.HeadObjectInput{Bucket: &b.name, Key: &key, ExpectedBucketOwner: b.owner}
	out, err := b.api.HeadObject(ctx, in)
	if s := status(err); s >= 400 && s < 500 && s != http.StatusNotFound {
		if spoken := b.byte(ctx, key); spoken != nil {
			return nil, explain(spoken, "find", b.name, key)
		}
		out, err = b.api.HeadObject(ctx, in) // the GET succeeded, perhaps with renewed keys
	}
	if err != nil {
		return nil, b.missing(ctx, err, "find", key)
	}
	return out, nil
}

// byte reads the first byte of an object, to get an error with a body. An empty object has no
// first byte; that is not an error.
func (b *Bucket) byte(ctx context.Context, key string) error {
	out, err := b.api.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: &key, ExpectedBucketOwner: b.owner, Range: byteRange(0, 1)})
	if code(err) == "InvalidRange" {
		return nil
	}
	if err != nil {
		return err
	}
	return out.Body.Close()
}

// missing explains the error of a HEAD. On 404 it asks whether the bucket exists, because the
// answer does not say whether the object or the bucket is missing.
func (b *Bucket) missing(ctx context.Context, err error, verb, key string) error {
	if status(err) == http.StatusNotFound && foreign(err) == nil {
		_, berr := b.api.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &b.name, ExpectedBucketOwner: b.owner})
		if status(berr) == http.StatusNotFound {
			return fmt.Errorf("%s %s: %w", verb, uri(b.name, key), batholith.ErrNoBucket)
		}
	}
	return explain(err, verb, b.name, key)
}

// Put writes a whole object and replaces an existing one. After an error it may be repeated.
func (b *Bucket) Put(ctx context.Context, key string, body []byte) error {
	// The time limit grows with the size of the body.
	ctx, cancel := context.WithTimeout(ctx, limit(int64(len(body))))
	defer cancel()
	sse, kms := b.encryption()
	out, err := b.api.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &b.name, Key: &key, ExpectedBucketOwner: b.owner,
		Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body))),
		ServerSideEncryption: sse, SSEKMSKeyId: kms,
	})
	if err != nil {
		return explain(err, "write", b.name, key)
	}
	// An object that was stored in plain text must not stay.
	if plain := b.unencrypted(out.ServerSideEncryption, out.SSEKMSKeyId); plain != nil {
		return b.withdraw(ctx, fmt.Errorf("write %s: %w", uri(b.name, key), plain), key)
	}
	return nil
}

// deleteBatch is the maximum number of keys in one request (S3: DeleteObjects, 1,000 keys).
const deleteBatch = 1000

// Delete removes objects. Missing objects are not an error.
func (b *Bucket) Delete(ctx context.Context, keys ...string) error {
	// A single key, or the last one, is deleted with DeleteObject, which every S3 supports.
	for len(keys) > 1 {
		n := min(len(keys), deleteBatch)
		err := b.deleteMany(ctx, keys[:n])
		switch code(err) { // answers of servers without DeleteObjects
		case "NotImplemented", "MissingContentMD5", "InvalidDigest", "MethodNotAllowed":
			err = b.deleteEach(ctx, keys[:n]) // this S3 does not support DeleteObjects, or not in this form
		}
		if err != nil {
			return err
		}
		keys = keys[n:]
	}
	return b.deleteEach(ctx, keys)
}

// deleteMany removes up to deleteBatch objects with one request.
func (b *Bucket) deleteMany(ctx context.Context, keys []string) error {
	ctx, cancel := context.WithTimeout(ctx, limit(0))
	defer cancel()
	ids := make([]types.ObjectIdentifier, len(keys))
	for i := range keys {
		ids[i].Key = &keys[i]
	}
	out, err := b.api.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &b.name, ExpectedBucketOwner: b.owner,
		Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)}})
	if err != nil {
		return explain(err, "delete", b.name, keys[0])
	}
	// A 200 may contain errors of single keys.
	for _, e := range out.Errors {
		if c := aws.ToString(e.Code); c != "NoSuchKey" {
			return explain(&answer{c, aws.ToString(e.Message)}, "delete", b.name, aws.ToString(e.Key))
		}
	}
	return nil
}

// callsAtOnce is the maximum number of parallel requests of one method call.
const callsAtOnce = 32

func (b *Bucket) deleteEach(ctx context.Context, keys []string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(callsAtOnce)
	for _, key := range keys {
		g.Go(func() error { return b.deleteOne(ctx, key) })
	}
	return g.Wait()
}

func (b *Bucket) deleteOne(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, limit(0))
	defer cancel()
	_, err := b.api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: &key, ExpectedBucketOwner: b.owner})
	if code(err) == "NoSuchKey" {
		return nil
	}
	return explain(err, "delete", b.name, key)
}

// unquote removes the quotes of an ETag, and the prefix W/ of a weak ETag, which a compressing
// proxy adds (RFC 9110, section 8.8.3).
func unquote(etag *string) string {
	return strings.Trim(strings.TrimPrefix(aws.ToString(etag), "W/"), `"`)
}

func quote(etag string) *string { return aws.String(`"` + etag + `"`) }
