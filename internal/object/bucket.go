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

// Options hold for every request to a bucket.
type Options struct {
	Owner    string // account that must own the bucket, else access is denied; "" = any
	KMSKeyID string // encrypts what is written (SSE-KMS); "" = as the bucket does by itself
}

var (
	_ blob.Bucket       = (*Bucket)(nil)
	_ blob.UploadLister = (*Bucket)(nil)
)

// Bucket is one bucket as one principal sees it. It is safe for concurrent use.
type Bucket struct {
	api   *s3.Client
	name  string
	owner *string
	kms   string
	marks *marks // of the client's uploads
	// byPrefix is whether the server is known to list uploads by any prefix.
	byPrefix bool
}

// Bucket names a bucket. Nothing is sent: whether it exists shows at the first request.
func (c *Client) Bucket(name string, o Options) *Bucket {
	b := &Bucket{api: c.api, name: name, kms: o.KMSKeyID, marks: &c.marks, byPrefix: c.byPrefix}
	if o.Owner != "" {
		b.owner = &o.Owner
	}
	return b
}

// Name is the bucket's name.
func (b *Bucket) Name() string { return b.name }

// List yields the objects whose key begins with prefix, in the order of their keys' bytes, page after page.
// After an error, which comes with a zero Object, it ends.
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

func (b *Bucket) page(ctx context.Context, in *s3.ListObjectsV2Input) (*s3.ListObjectsV2Output, error) {
	ctx, cancel := context.WithTimeout(ctx, limit(0))
	defer cancel()
	return b.api.ListObjectsV2(ctx, in)
}

func listed(o types.Object) batholith.Object {
	return batholith.Object{Key: aws.ToString(o.Key), Bytes: aws.ToInt64(o.Size), ETag: unquote(o.ETag),
		Modified: aws.ToTime(o.LastModified)}
}

// Head tells of one object.
func (b *Bucket) Head(ctx context.Context, key string) (batholith.Object, error) {
	out, err := b.head(ctx, key)
	if err != nil {
		return batholith.Object{}, err
	}
	return batholith.Object{Key: key, Bytes: aws.ToInt64(out.ContentLength), ETag: unquote(out.ETag),
		Modified: aws.ToTime(out.LastModified)}, nil
}

// head asks for an object's head. The answer to a HEAD has no body, so that 400 and 403 say nothing: keys that expired, a clock that is
// wrong and a policy look alike. A GET of one byte is then asked for its words.
func (b *Bucket) head(ctx context.Context, key string) (*s3.HeadObjectOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, limit(0))
	defer cancel()
	in := &s3.HeadObjectInput{Bucket: &b.name, Key: &key, ExpectedBucketOwner: b.owner}
	out, err := b.api.HeadObject(ctx, in)
	if s := status(err); s >= 400 && s < 500 && s != http.StatusNotFound {
		if spoken := b.byte(ctx, key); spoken != nil {
			return nil, explain(spoken, "find", b.name, key)
		}
		out, err = b.api.HeadObject(ctx, in) // the GET went well, perhaps with other keys
	}
	if err != nil {
		return nil, b.missing(ctx, err, "find", key)
	}
	return out, nil
}

// byte asks for the first byte of an object, for the sake of the error. An empty object has none, which is no error.
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

// missing explains the error of a HEAD, whose answer has no body to say whether the object or the whole bucket is missing.
func (b *Bucket) missing(ctx context.Context, err error, verb, key string) error {
	if status(err) == http.StatusNotFound && foreign(err) == nil {
		_, berr := b.api.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &b.name, ExpectedBucketOwner: b.owner})
		if status(berr) == http.StatusNotFound {
			return fmt.Errorf("%s %s: %w", verb, uri(b.name, key), batholith.ErrNoBucket)
		}
	}
	return explain(err, verb, b.name, key)
}

// Put writes a whole object in place of any other. Repeated after an error it does no harm.
func (b *Bucket) Put(ctx context.Context, key string, body []byte) error {
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
	if plain := b.unencrypted(out.ServerSideEncryption, out.SSEKMSKeyId); plain != nil {
		return b.withdraw(ctx, fmt.Errorf("write %s: %w", uri(b.name, key), plain), key)
	}
	return nil
}

// deleteBatch is how many keys one request may name (S3: DeleteObjects, 1,000).
const deleteBatch = 1000

// Delete removes objects. One that is missing already is no error.
func (b *Bucket) Delete(ctx context.Context, keys ...string) error {
	for len(keys) > 1 {
		n := min(len(keys), deleteBatch)
		err := b.deleteMany(ctx, keys[:n])
		switch code(err) {
		case "NotImplemented", "MissingContentMD5", "InvalidDigest", "MethodNotAllowed":
			err = b.deleteEach(ctx, keys[:n]) // this S3 has no DeleteObjects, or not this form of it
		}
		if err != nil {
			return err
		}
		keys = keys[n:]
	}
	return b.deleteEach(ctx, keys)
}

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
	for _, e := range out.Errors {
		if c := aws.ToString(e.Code); c != "NoSuchKey" {
			return explain(&answer{c, aws.ToString(e.Message)}, "delete", b.name, aws.ToString(e.Key))
		}
	}
	return nil
}

// callsAtOnce is how many requests of one call are on their way at once.
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

// unquote is an ETag without its quotes, nor the mark of a weak one, which a proxy that compresses adds.
func unquote(etag *string) string {
	return strings.Trim(strings.TrimPrefix(aws.ToString(etag), "W/"), `"`)
}

func quote(etag string) *string { return aws.String(`"` + etag + `"`) }
