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

// CreateUpload begins a multipart upload. Its object appears with CompleteUpload; until then, or AbortUpload, the S3 keeps
// its parts, and whoever holds the id is the only one to know of them.
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
	// MinIO says nothing of encryption here, although it encrypts: only the object's head decides, unless another kind is named already.
	if plain := b.unencrypted(out.ServerSideEncryption, out.SSEKMSKeyId); plain != nil && out.ServerSideEncryption != "" {
		return "", errors.Join(fmt.Errorf("begin upload of %s: %w", uri(b.name, key), plain), b.AbortUpload(ctx, key, id))
	}
	b.marks.keep(id, mark)
	return id, nil
}

// UploadPart writes part n, counted from 1, in place of any other with this number. Every part but the last must have the same
// size, and at least 5 MiB (S3: EntityTooSmall; other stores demand the equality). What it returns names the part to CompleteUpload.
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
//
// MinIO answers for a whole key or for no prefix at all, and says of any other prefix that nothing is there. So where a server that is
// not known to do better has nothing, all uploads of the bucket are listed and those below the prefix taken.
func (b *Bucket) ListUploads(ctx context.Context, prefix string) iter.Seq2[batholith.Upload, error] {
	return func(yield func(batholith.Upload, error) bool) {
		some, on := b.uploads(ctx, prefix, prefix, yield)
		if on && !some && prefix != "" && !b.byPrefix {
			b.uploads(ctx, "", prefix, yield)
		}
	}
}

// UploadsOf lists the uploads below a prefix as ListUploads does, and those of keys one by one, which may be below it. A node of a MinIO
// lists without a prefix only what was begun at it since its start, but by its key every upload. An upload comes once.
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

// found are the uploads of a key, up to an error.
type found struct {
	uploads []batholith.Upload
	err     error
}

// uploadsOfEach lists the uploads of each key, beside one another.
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

// uploads asks for the uploads below one prefix and yields those below another. It tells whether there were some, and whether to go on.
func (b *Bucket) uploads(ctx context.Context, ask, prefix string, yield func(batholith.Upload, error) bool) (some, on bool) {
	in := &s3.ListMultipartUploadsInput{Bucket: &b.name, ExpectedBucketOwner: b.owner}
	if ask != "" {
		in.Prefix = &ask
	}
	pages := s3.NewListMultipartUploadsPaginator(b.api, in)
	for pages.HasMorePages() {
		page, err := uploadsPage(ctx, pages)
		if code(err) == "NoSuchUpload" { // gofakes3, of a bucket that never had one
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
