package object

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// CreateUpload begins a multipart upload. Its object appears with CompleteUpload; until then, or AbortUpload, the S3 keeps
// its parts, and whoever holds the id is the only one to know of them.
func (b *Bucket) CreateUpload(ctx context.Context, key string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit(0))
	defer cancel()
	sse, kms := b.encryption()
	out, err := b.api.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &b.name, Key: &key, ExpectedBucketOwner: b.owner, ServerSideEncryption: sse, SSEKMSKeyId: kms})
	if err != nil {
		return "", explain(err, "begin upload of", b.name, key)
	}
	return aws.ToString(out.UploadId), nil
}

// UploadPart writes part n, counted from 1, in place of any other with this number. Every part but the last must have the same
// size, and at least 5 MiB (S3: EntityTooSmall; other stores demand the equality).
func (b *Bucket) UploadPart(ctx context.Context, key, id string, n int, body []byte) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit(int64(len(body))))
	defer cancel()
	out, err := b.api.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &b.name, Key: &key, ExpectedBucketOwner: b.owner, UploadId: &id, PartNumber: aws.Int32(int32(n)),
		Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body)))})
	if err != nil {
		return "", explain(err, fmt.Sprintf("upload part %d of", n), b.name, key)
	}
	return unquote(out.ETag), nil
}

// completeBase bounds a completion beside what its size allows: some stores copy the parts together before they answer.
const completeBase = 10 * time.Minute

// CompleteUpload makes the parts 1 … len(etags) the object, in place of any other. Neither answer of the S3 is believed by
// itself: a 200 may name an object that was there before, an error may come after the object did. What HEAD shows
// afterwards decides, so the call may also be repeated after an error. There must be at least one part.
func (b *Bucket) CompleteUpload(ctx context.Context, key, id string, etags []string) error {
	size := b.partsSize(ctx, key, id, len(etags))
	ctx, cancel := context.WithTimeout(ctx, completeBase+limit(max(size, 0)))
	defer cancel()
	out, err := b.api.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &b.name, Key: &key, ExpectedBucketOwner: b.owner, UploadId: &id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: completed(etags)}})
	want := wantETag(etags)
	if err == nil && want == "" {
		want = unquote(out.ETag)
	}
	info, herr := b.Head(ctx, key)
	switch {
	case herr == nil && want != "" && info.ETag == want && (size < 0 || info.Bytes == size):
		return nil
	case err != nil:
		return explain(err, "complete upload of", b.name, key)
	case herr != nil && !errors.Is(herr, batholith.ErrNoObject):
		return fmt.Errorf("verify the upload of %s: %w", uri(b.name, key), herr)
	}
	return fmt.Errorf("complete upload of %s: the endpoint reports success, but the object is not what was uploaded", uri(b.name, key))
}

// partsSize is the size of the object that the n parts of an upload make; -1 when the S3 does not tell, as for an upload that
// is complete already, or a principal who may not ask.
func (b *Bucket) partsSize(ctx context.Context, key, id string, n int) int64 {
	ctx, cancel := context.WithTimeout(ctx, limit(0))
	defer cancel()
	var size, count int64
	pages := s3.NewListPartsPaginator(b.api, &s3.ListPartsInput{Bucket: &b.name, Key: &key, UploadId: &id, ExpectedBucketOwner: b.owner})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return -1
		}
		for _, p := range page.Parts {
			if aws.ToInt32(p.PartNumber) <= int32(n) {
				size += aws.ToInt64(p.Size)
				count++
			}
		}
	}
	if count != int64(n) {
		return -1
	}
	return size
}

func completed(etags []string) []types.CompletedPart {
	parts := make([]types.CompletedPart, len(etags))
	for i, e := range etags {
		parts[i] = types.CompletedPart{ETag: quote(e), PartNumber: aws.Int32(int32(i + 1))}
	}
	return parts
}

// wantETag is the ETag of an object made of these parts (S3: MD5 of the parts' MD5s, a dash, their number), or "" when the
// parts' ETags are not MD5s, as under some kinds of encryption.
func wantETag(etags []string) string {
	h := md5.New()
	for _, e := range etags {
		sum, err := hex.DecodeString(e)
		if err != nil || len(sum) != md5.Size {
			return ""
		}
		h.Write(sum)
	}
	return hex.EncodeToString(h.Sum(nil)) + "-" + strconv.Itoa(len(etags))
}

// AbortUpload drops an upload and its parts. One that is gone already is no error.
func (b *Bucket) AbortUpload(ctx context.Context, key, id string) error {
	ctx, cancel := context.WithTimeout(ctx, limit(0))
	defer cancel()
	_, err := b.api.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &b.name, Key: &key, ExpectedBucketOwner: b.owner, UploadId: &id})
	if code(err) == "NoSuchUpload" {
		return nil
	}
	return explain(err, "abort upload of", b.name, key)
}

// ListUploads yields the uploads below a prefix that are neither complete nor aborted, page after page. After an error it ends. Not
// every S3 has this list, and not every role may see it: what an answer refuses is [batholith.ErrRefused] where it is nothing else.
func (b *Bucket) ListUploads(ctx context.Context, prefix string) iter.Seq2[batholith.Upload, error] {
	return func(yield func(batholith.Upload, error) bool) {
		in := &s3.ListMultipartUploadsInput{Bucket: &b.name, ExpectedBucketOwner: b.owner}
		if prefix != "" {
			in.Prefix = &prefix
		}
		pages := s3.NewListMultipartUploadsPaginator(b.api, in)
		for pages.HasMorePages() {
			page, err := uploadsPage(ctx, pages)
			if err != nil {
				yield(batholith.Upload{}, unlisted(explain(err, "list uploads of", b.name, prefix), status(err)))
				return
			}
			for _, u := range page.Uploads {
				if !yield(batholith.Upload{Key: aws.ToString(u.Key), UploadID: aws.ToString(u.UploadId)}, nil) {
					return
				}
			}
		}
	}
}

func uploadsPage(ctx context.Context, pages *s3.ListMultipartUploadsPaginator) (*s3.ListMultipartUploadsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, limit(0))
	defer cancel()
	return pages.NextPage(ctx)
}

// unlisted makes a refusal of an answer that says, in whatever code, that there is no such list.
func unlisted(err error, status int) error {
	lacking := status == http.StatusNotImplemented || status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests
	if !lacking || blob.Permanent(err) {
		return err
	}
	return fmt.Errorf("%w: %w", batholith.ErrRefused, err)
}
