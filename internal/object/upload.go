package object

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith"
)

// CreateUpload starts a multipart upload and returns its id. The object appears with
// CompleteUpload. Until then, or until AbortUpload, the S3 stores the parts, and only the id
// gives access to them.
func (b *Bucket) CreateUpload(ctx context.Context, key string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit(0))
	defer cancel()
	sse, kms := b.encryption()
	mark := newMark()
	out, err := b.api.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &b.name, Key: &key, ExpectedBucketOwner: b.owner, ServerSideEncryption: sse, SSEKMSKeyId: kms, Metadata: map[string]string{markName: mark}})
	if err != nil {
		return "", explain(err, "begin upload of", b.name, key)
	}
	id := aws.ToString(out.UploadId)
	// MinIO's answer does not mention encryption here, although it encrypts. So only another
	// kind of encryption is an error now; CompleteUpload checks the object.
	if plain := b.unencrypted(out.ServerSideEncryption, out.SSEKMSKeyId); plain != nil && out.ServerSideEncryption != "" {
		return "", errors.Join(fmt.Errorf("begin upload of %s: %w", uri(b.name, key), plain), b.AbortUpload(ctx, key, id))
	}
	b.marks.keep(id, mark)
	return id, nil
}

// UploadPart writes part n, from 1, replacing an earlier part n. All parts except the last must
// have the same size, at least 5 MiB (S3: EntityTooSmall; some stores require equal sizes). The
// result is the part's tag for CompleteUpload.
func (b *Bucket) UploadPart(ctx context.Context, key, id string, n int, body []byte) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit(int64(len(body))))
	defer cancel()
	out, err := b.api.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &b.name, Key: &key, ExpectedBucketOwner: b.owner, UploadId: &id, PartNumber: aws.Int32(int32(n)),
		Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body)))})
	if err != nil {
		return "", explain(err, fmt.Sprintf("upload part %d of", n), b.name, key)
	}
	return part{unquote(out.ETag), int64(len(body)), crc32.Checksum(body, castagnoli)}.tag(), nil
}

// AbortUpload deletes an upload and its parts. A missing upload is not an error.
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

// ListUploads yields the uploads below prefix that are neither complete nor aborted. An error
// ends the list. Not every S3 supports this request, and not every role may send it: then the
// error wraps [batholith.ErrRefused] or ErrAccessDenied.
//
// MinIO lists uploads only for a complete key or for the whole bucket; for any other prefix it
// returns an empty list. So if the list is empty and the server is not known to support
// prefixes, all uploads of the bucket are listed and filtered.
func (b *Bucket) ListUploads(ctx context.Context, prefix string) iter.Seq2[batholith.Upload, error] {
	return func(yield func(batholith.Upload, error) bool) {
		some, on := b.uploads(ctx, prefix, prefix, yield)
		if on && !some && prefix != "" && !b.byPrefix {
			b.uploads(ctx, "", prefix, yield)
		}
	}
}

// UploadsOf yields the uploads below prefix as ListUploads does, and then the uploads of each
// of keys. A MinIO node lists without a prefix only uploads that were started on it since its
// start, but finds every upload by its key. Each upload is yielded once.
func (b *Bucket) UploadsOf(ctx context.Context, prefix string, keys []string) iter.Seq2[batholith.Upload, error] {
	return func(yield func(batholith.Upload, error) bool) {
		seen := map[batholith.Upload]bool{}
		once := func(u batholith.Upload, err error) bool {
			if err == nil && seen[u] {
				return true
			}
			seen[u] = true
			return yield(u, err)
		}
		for u, err := range b.ListUploads(ctx, prefix) {
			if !once(u, err) || err != nil {
				return
			}
		}
		if b.byPrefix {
			return
		}
		for some := range slices.Chunk(keys, callsAtOnce) {
			for _, found := range b.uploadsOfEach(ctx, some) {
				for _, u := range found.uploads {
					if !once(u, nil) {
						return
					}
				}
				if found.err != nil {
					yield(batholith.Upload{}, found.err)
					return
				}
			}
		}
	}
}

// found is the result for one key.
type found struct {
	uploads []batholith.Upload
	err     error
}

// uploadsOfEach lists the uploads of each key, all in parallel.
func (b *Bucket) uploadsOfEach(ctx context.Context, keys []string) []found {
	all := make([]found, len(keys))
	var g sync.WaitGroup
	for i, key := range keys {
		g.Go(func() {
			b.uploads(ctx, key, key, func(u batholith.Upload, err error) bool {
				if err != nil {
					all[i].err = err
				} else if u.Key == key {
					all[i].uploads = append(all[i].uploads, u)
				}
				return err == nil
			})
		})
	}
	g.Wait()
	return all
}

// uploads requests the uploads below ask and yields those below prefix. some: it yielded at
// least one. on: the caller may continue.
func (b *Bucket) uploads(ctx context.Context, ask, prefix string, yield func(batholith.Upload, error) bool) (some, on bool) {
	in := &s3.ListMultipartUploadsInput{Bucket: &b.name, ExpectedBucketOwner: b.owner}
	if ask != "" {
		in.Prefix = &ask
	}
	pages := s3.NewListMultipartUploadsPaginator(b.api, in)
	for pages.HasMorePages() {
		page, err := uploadsPage(ctx, pages)
		if code(err) == "NoSuchUpload" { // gofakes3 answers so for a bucket without uploads
			return some, true
		}
		if err != nil {
			yield(batholith.Upload{}, explain(err, "list uploads of", b.name, prefix))
			return some, false
		}
		for _, u := range page.Uploads {
			if !strings.HasPrefix(aws.ToString(u.Key), prefix) {
				continue
			}
			some = true
			if !yield(batholith.Upload{Key: aws.ToString(u.Key), UploadID: aws.ToString(u.UploadId)}, nil) {
				return true, false
			}
		}
	}
	return some, true
}

func uploadsPage(ctx context.Context, pages *s3.ListMultipartUploadsPaginator) (*s3.ListMultipartUploadsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, limit(0))
	defer cancel()
	return pages.NextPage(ctx)
}
