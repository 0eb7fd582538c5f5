package object

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// completeBase bounds a completion beside what its size allows: some stores copy the parts together before they answer.
const completeBase = 10 * time.Minute

// CompleteUpload makes the parts 1 … len(tags) the object, in place of any other; the tags are what UploadPart returned. There must be
// at least one part. No answer of the S3 is believed by itself: a 200 may be about an object that was there before, an error may come
// after the object did. So the object is looked at afterwards, and the call may be repeated after an error. The upload's object is one
// of the right size and
//
//   - whose ETag is that of these parts, as Amazon makes it; or
//   - that carries the mark that CreateUpload gave it; or
//   - whose bytes have the parts' checksums. They are read back, which is left for servers that have neither of the others.
func (b *Bucket) CompleteUpload(ctx context.Context, key, id string, tags []string) error {
	parts := readTags(tags)
	size := sizeOf(parts)
	cctx, cancel := context.WithTimeout(ctx, completeBase+limit(max(size, 0)))
	defer cancel()
	_, err := b.api.CompleteMultipartUpload(cctx, &s3.CompleteMultipartUploadInput{
		Bucket: &b.name, Key: &key, ExpectedBucketOwner: b.owner, UploadId: &id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: completed(parts)}})
	made, herr := b.made(ctx, key, id, parts)
	switch {
	case made:
		return nil
	case err != nil:
		return explain(err, "complete upload of", b.name, key)
	case herr != nil && !errors.Is(herr, batholith.ErrNoObject):
		return fmt.Errorf("verify the upload of %s: %w", uri(b.name, key), herr)
	}
	return fmt.Errorf("complete upload of %s: the endpoint reports success, but the object is not what was uploaded", uri(b.name, key))
}

// made tells whether the object under a key is the one that the parts of an upload make.
func (b *Bucket) made(ctx context.Context, key, id string, parts []part) (bool, error) {
	out, err := b.head(ctx, key)
	if err != nil {
		return false, err
	}
	size, etag := sizeOf(parts), unquote(out.ETag)
	if size >= 0 && aws.ToInt64(out.ContentLength) != size {
		return false, nil
	}
	mark := b.marks.of(id)
	same := etag == wantETag(parts) || mark != "" && out.Metadata[markName] == mark
	if !same && size >= 0 {
		same, err = b.same(ctx, key, etag, parts)
	}
	if err != nil || !same {
		return false, err
	}
	if plain := b.unencrypted(out.ServerSideEncryption, out.SSEKMSKeyId); plain != nil {
		return false, b.withdraw(ctx, plain, key)
	}
	return true, nil
}

// same reads an object and compares it with the parts, in the memory of a buffer; it stops at the first that differs.
func (b *Bucket) same(ctx context.Context, key, etag string, parts []part) (bool, error) {
	at := int64(0)
	for _, p := range parts {
		sum := crc32.New(castagnoli)
		in := blob.NewReader(ctx, b, key, etag, at, p.size)
		n, err := io.Copy(sum, in)
		if closing := in.Close(); err == nil {
			err = closing
		}
		if errors.Is(err, batholith.ErrObjectChanged) || errors.Is(err, batholith.ErrNoObject) {
			return false, nil // somebody else's object took its place
		}
		if err != nil {
			return false, err
		}
		if n != p.size || sum.Sum32() != p.sum {
			return false, nil
		}
		at += p.size
	}
	return true, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// part is what is known of a part that was uploaded.
type part struct {
	etag string // the server's
	size int64  // bytes; -1 = unknown
	sum  uint32 // CRC-32C of the bytes
}

// tag names a part to the caller, who hands it back to CompleteUpload: the server's ETag, the size and the checksum.
func (p part) tag() string { return fmt.Sprintf("%s;%d;%08x", p.etag, p.size, p.sum) }

func readTags(tags []string) []part {
	parts := make([]part, len(tags))
	for i, t := range tags {
		parts[i] = readTag(t)
	}
	return parts
}

// readTag reads a tag. What is none is an ETag alone.
func readTag(tag string) part {
	if fields := strings.Split(tag, ";"); len(fields) >= 3 {
		n := len(fields)
		size, err := strconv.ParseInt(fields[n-2], 10, 64)
		sum, serr := strconv.ParseUint(fields[n-1], 16, 32)
		if err == nil && serr == nil {
			return part{strings.Join(fields[:n-2], ";"), size, uint32(sum)}
		}
	}
	return part{etag: tag, size: -1}
}

// sizeOf is how long the object of the parts is; -1 if unknown.
func sizeOf(parts []part) (n int64) {
	for _, p := range parts {
		if p.size < 0 {
			return -1
		}
		n += p.size
	}
	return n
}

func completed(parts []part) []types.CompletedPart {
	all := make([]types.CompletedPart, len(parts))
	for i, p := range parts {
		all[i] = types.CompletedPart{ETag: quote(p.etag), PartNumber: aws.Int32(int32(i + 1))}
	}
	return all
}

// wantETag is the ETag of an object made of these parts (S3: MD5 of the parts' MD5s, a dash, their number). Where parts' ETags are no
// MD5s, it is no object's.
func wantETag(parts []part) string {
	h := md5.New()
	for _, p := range parts {
		sum, err := hex.DecodeString(p.etag)
		if err != nil || len(sum) != md5.Size {
			return "none"
		}
		h.Write(sum)
	}
	return hex.EncodeToString(h.Sum(nil)) + "-" + strconv.Itoa(len(parts))
}

// markName is the user metadata by which the object of an upload is known, x-amz-meta-batholith-upload.
const markName = "batholith-upload"

// keptMarks is how many uploads' marks are remembered. One that was forgotten costs a reading of the object.
const keptMarks = 1024

// marks are what the objects of a client's uploads are marked with, by upload id. A mark is random, and so that of one upload alone.
type marks struct {
	mu    sync.Mutex
	byID  map[string]string
	order []string // ids, the oldest first
}

func newMark() string { return strings.ToLower(rand.Text()[:16]) }

func (m *marks) keep(id, mark string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byID == nil {
		m.byID = map[string]string{}
	}
	if len(m.order) == keptMarks {
		delete(m.byID, m.order[0])
		m.order = append(m.order[:0], m.order[1:]...)
	}
	m.byID[id], m.order = mark, append(m.order, id)
}

func (m *marks) of(id string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byID[id]
}
