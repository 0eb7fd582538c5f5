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

// completeBase is added to the time limit of a completion: some stores copy all parts before
// they answer.
const completeBase = 10 * time.Minute

// CompleteUpload turns the parts 1 … len(tags) into the object, replacing an existing one. tags
// are the results of UploadPart, at least one. After an error the call may be repeated.
//
// The S3's answer alone proves nothing: a 200 may be about an older object, and an error may
// come after the object was created. So the method then inspects the object. It is the upload's
// if its size is right and
//
//   - whose ETag is that of these parts, as Amazon makes it; or
//   - that carries the mark that CreateUpload gave it; or
//   - its bytes have the parts' checksums. This requires reading the object, and is only done for servers that
//     support neither of the others.
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

// made reports whether the object key consists of the parts of upload id.
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

// same reads the object and compares the CRC-32C of each part. It stops at the first
// difference.
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
			return false, nil // the object was replaced by somebody else's
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

// castagnoli is the CRC-32C table.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// part describes an uploaded part.
type part struct {
	etag string // ETag from the server
	size int64  // bytes; -1: unknown
	sum  uint32 // CRC-32C of the bytes
}

// tag encodes a part for the caller, who passes it to CompleteUpload: "ETag;size;CRC-32C".
func (p part) tag() string { return fmt.Sprintf("%s;%d;%08x", p.etag, p.size, p.sum) }

func readTags(tags []string) []part {
	parts := make([]part, len(tags))
	for i, t := range tags {
		parts[i] = readTag(t)
	}
	return parts
}

// readTag decodes a tag. A text in another format is taken as an ETag only.
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

// sizeOf returns the size of the complete object in bytes; -1: unknown.
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

// wantETag returns the ETag that Amazon gives an object of these parts: MD5 of the parts' MD5s,
// a dash, and their number. If the parts' ETags are not MD5s it returns a value that matches no
// object.
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

// markName is the user metadata that identifies the object of an upload: the header
// x-amz-meta-batholith-upload.
const markName = "batholith-upload"

// keptMarks is the maximum number of remembered marks. Without its mark an upload may have to
// be read to verify it.
const keptMarks = 1024

// marks maps upload ids to random values in the metadata of their objects. A mark proves that
// an object comes from that upload.
type marks struct {
	mu    sync.Mutex // guards the fields below
	byID  map[string]string
	order []string // upload ids, oldest first
}

func newMark() string { return strings.ToLower(rand.Text()[:16]) }

// keep remembers the mark of an upload and forgets the oldest if there are too many.
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

// of returns the mark of an upload, or "" if it is not known.
func (m *marks) of(id string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byID[id]
}
