package s3serve

import (
	"context"
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// How encrypted objects are written. The gateway's storage stores the bytes that it reads from
// the body of a request. This code replaces the body with a reader that encrypts, so plain bytes
// are never in a file. The gateway gets the checksum of the plain bytes from that reader, as it
// gets a checksum that a client sends after the body.

// markAttribute is the attribute with the mark of an encrypted object, as JSON.
const markAttribute = "batholith-sse"

// mark has the sizes of an encrypted object, in bytes. Listings show Plain. A mark is valid only
// if the object's file has the size File.
type mark struct {
	Plain int64 `json:"plain"`
	File  int64 `json:"file"`
}

// checksumNames are the algorithms of checksums that an object can have.
var checksumNames = []string{"CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME", "SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128"}

// takeSum removes the checksum from a request and returns it. of is a pointer to the request.
// If the checksum stayed, the gateway would compare it with that of the sealed file.
func takeSum(of any) (algorithm, sum string) {
	for _, name := range checksumNames {
		if field := sumIn(of, name); field != nil && *field != nil {
			if algorithm == "" {
				algorithm, sum = name, **field
			}
			*field = nil
		}
	}
	return algorithm, sum
}

// sealedBody encrypts: it reads plain bytes and returns those of a sealed file or part. Only the
// goroutine of its request uses it.
type sealedBody struct {
	io.Reader
	algorithm string // of the checksum, in lower case; "": no checksum
	sum       func() string
	count     int64     // plain bytes
	md5       hash.Hash // of the plain bytes; nil: not needed
	crc64     func() string
}

// Algorithm and Checksum describe the plain bytes. Checksum is valid after the last byte was read.
func (b *sealedBody) Algorithm() string { return b.algorithm }
func (b *sealedBody) Checksum() string  { return b.sum() }

var _ middlewares.ChecksumReader = (*sealedBody)(nil)

// newSealedBody returns a body of three parts: head, the encrypted bytes of plain, and the result
// of end, which is called after plain was read. If plain has a trailing checksum, the body has the
// same checksum. Otherwise the body computes one with the algorithm. If sum is not "" and differs
// from it, reading fails.
func newSealedBody(sl *sealing, seg segment, head string, plain io.Reader, algorithm, sum string, end func(*sealedBody) ([]byte, error)) (*sealedBody, error) {
	b := &sealedBody{algorithm: strings.ToLower(algorithm)}
	var from io.Reader = &counted{from: plain, body: b}
	if trailing, ok := plain.(middlewares.ChecksumReader); ok && trailing.Algorithm() != "" {
		b.algorithm, b.sum = trailing.Algorithm(), trailing.Checksum
	} else if b.algorithm != "" {
		hashed, err := utils.NewHashReader(from, sum, utils.HashType(b.algorithm))
		if err != nil {
			return nil, fmt.Errorf("sum up a body: %w", err)
		}
		from, b.sum = hashed, hashed.Sum
	}
	if b.crc64 = b.sum; b.algorithm != string(utils.HashTypeCRC64NVME) {
		hashed, err := utils.NewHashReader(from, "", utils.HashTypeCRC64NVME)
		if err != nil {
			return nil, fmt.Errorf("sum up a body: %w", err)
		}
		from, b.crc64 = hashed, hashed.Sum
	}
	if sl.Algorithm == sseS3 { // S3: the ETag is the MD5 of the object with SSE-S3, and is not with SSE-KMS (ETag)
		b.md5 = md5.New()
		from = io.TeeReader(from, b.md5)
	}
	cipher, err := seg.seal(sl.data, from)
	if err != nil {
		return nil, err
	}
	b.Reader = io.MultiReader(strings.NewReader(head), cipher, &late{make: func() ([]byte, error) { return end(b) }})
	return b, nil
}

// etag returns the ETag of the plain bytes, or "" if the gateway's ETag is kept.
func (b *sealedBody) etag() string {
	if b.md5 == nil {
		return ""
	}
	return backend.GenerateEtag(b.md5)
}

// counted counts the plain bytes.
type counted struct {
	from io.Reader
	body *sealedBody
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.body.count += int64(n)
	if errors.Is(err, io.ErrUnexpectedEOF) { // readers of whole blocks take this error for the end of the body
		err = s3err.GetAPIError(s3err.ErrIncompleteBody)
	}
	return n, err
}

// late is a reader whose bytes are made at the first Read.
type late struct {
	make func() ([]byte, error)
	made bool
	rest []byte
}

func (l *late) Read(p []byte) (int, error) {
	if !l.made {
		l.made = true
		var err error
		if l.rest, err = l.make(); err != nil {
			return 0, err
		}
	}
	if len(l.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// putSealed calls PutObject of the gateway's storage with an encrypted body.
func (s *store) putSealed(ctx context.Context, path string, in s3response.PutObjectInput, sl *sealing) (s3response.PutObjectOutput, error) {
	most := aws.ToInt64(in.ContentLength) // plain bytes; in a form upload an upper bound of them
	f := &footer{envelope: sl.envelope, Segments: []segment{newSegment(most)}}
	end, err := f.text(sl.data)
	if err != nil {
		return s3response.PutObjectOutput{}, err
	}
	total := int64(len(sealedMagic)) + sealedSize(most) + int64(len(end))
	algorithm, sum := takeSum(&in)
	if algorithm == "" {
		algorithm = string(in.ChecksumAlgorithm)
	}
	if algorithm == "" {
		algorithm = string(types.ChecksumAlgorithmCrc64nvme)
	}
	form := isFormUpload(ctx)
	body, err := newSealedBody(sl, f.Segments[0], sealedMagic, in.Body, algorithm, sum, func(b *sealedBody) ([]byte, error) {
		if b.count != most && !form {
			return nil, s3err.GetAPIError(s3err.ErrIncompleteBody)
		}
		f.Segments[0].Size = b.count
		end, err = f.text(sl.data)
		total = int64(len(sealedMagic)) + sealedSize(b.count) + int64(len(end))
		return end, err
	})
	if err != nil {
		return s3response.PutObjectOutput{}, err
	}
	forget, room := func() {}, total
	defer func() { forget() }()
	in.Body, in.ContentLength = body, &room
	out, err := s.posix.PutObjectWithPostFunc(ctx, in, func(staged *os.File) error {
		forget = s.meta.seals.note(staged, attributes{mark: mark{body.count, total}, etag: body.etag()})
		return nil
	})
	if err == nil {
		out.Size = &body.count
		if etag := body.etag(); etag != "" {
			out.ETag = etag
		}
		s.tellEncryption(ctx, sl.envelope, true)
	}
	return out, err
}

// attributes of a sealed file are those that the gateway does not have, or has computed from the
// ciphertext.
type attributes struct {
	mark            mark
	etag            string // "": the gateway's
	fault           error  // not nil: storing an attribute fails with it, so that the object does not appear
	checksums, ends []byte // checksums, and plain bytes up to the end of each part, in the gateway's format; nil: the gateway's
}

// seals has the attributes of sealed files that are being written. The gateway stores its
// attributes while it holds the lock of the key; those of seals must be stored at the same time.
type seals struct {
	mu    sync.Mutex
	files map[*os.File]attributes
}

func newSeals() *seals { return &seals{files: map[*os.File]attributes{}} }

// note sets the attributes of a staged file. forget removes them.
func (s *seals) note(f *os.File, a attributes) (forget func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[f] = a
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.files, f)
	}
}

// instead returns the value that replaces the gateway's value of an attribute of a staged file.
// For the ETag it also returns the mark: the file is synced after the ETag was stored.
func (s *seals) instead(f *os.File, attribute string, value []byte) (stored, mark []byte, err error) {
	s.mu.Lock()
	a, sealed := s.files[f]
	s.mu.Unlock()
	switch {
	case !sealed:
	case a.fault != nil:
		return nil, nil, a.fault
	case attribute == etagAttribute:
		if a.etag != "" {
			value = []byte(a.etag)
		}
		mark, err = json.Marshal(a.mark)
	case attribute == checksumsAttribute && a.checksums != nil:
		value = a.checksums
	case attribute == uploadAttribute && a.ends != nil:
		value = a.ends
	}
	return value, mark, err
}
