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
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
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

const (
	sealAttribute = "batholith-seal" // envelope of an upload, as JSON
	markAttribute = "batholith-sse"  // mark of an encrypted object, as JSON
)

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

// storeSeal stores the envelope of an upload.
func (s *store) storeSeal(path, dir string, e envelope) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return s.meta.StoreAttribute(nil, path, dir, sealAttribute, text)
}

// sealOf reads the envelope of an upload; nil if its parts are not encrypted, or if there is no
// such upload.
func (s *store) sealOf(path, key, id string) (*envelope, error) {
	text, err := s.meta.RetrieveAttribute(nil, path, uploadDir(key, id), sealAttribute)
	switch {
	case isAbsent(err):
		return nil, nil
	case err != nil: // the parts must not be stored plain
		return nil, fmt.Errorf("read how an upload is encrypted: %w", err)
	}
	var e envelope
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fmt.Errorf("read how an upload is encrypted: %w", err)
	}
	return &e, nil
}

// uploadSealed calls UploadPart of the gateway's storage with an encrypted body.
func (s *store) uploadSealed(ctx context.Context, bucket string, in *s3.UploadPartInput, e envelope) (*s3.UploadPartOutput, error) {
	sl, err := s.unseal(ctx, actionGenerate, nameOf(bucket), *in.Key, e)
	if err != nil {
		return nil, err
	}
	dir := uploadDir(*in.Key, *in.UploadId)
	upload := s.meta.checksums(bucket, dir)
	algorithm, sum := takeSum(in)
	hidden := false
	switch {
	case algorithm != "" || upload.Type == types.ChecksumTypeComposite: // the gateway refuses a part that has no checksum and needs one
	case upload.Type != "":
		algorithm = string(upload.Algorithm)
	default:
		algorithm, hidden = string(types.ChecksumAlgorithmCrc64nvme), true
	}
	length := aws.ToInt64(in.ContentLength)
	seg := newSegment(length)
	if trailing, ok := in.Body.(middlewares.ChecksumReader); ok && trailing.Algorithm() != "" {
		hidden = false
	}
	body, err := newSealedBody(sl, seg, sealedMagic+string(seg.Salt), in.Body, algorithm, sum, func(b *sealedBody) ([]byte, error) {
		if b.count != length {
			return nil, s3err.GetAPIError(s3err.ErrIncompleteBody)
		}
		return nil, nil
	})
	if err != nil {
		return nil, err
	}
	room := int64(partHead) + sealedSize(length)
	in.Body, in.ContentLength = body, &room
	part := path.Join(dir, strconv.Itoa(int(*in.PartNumber)))
	out, err := s.posix.UploadPartWithPostFunc(ctx, in, func(staged *os.File) error {
		if upload.Type == "" && body.algorithm != string(utils.HashTypeCRC64NVME) { // the gateway takes a CRC64NVME from the body
			if err := s.meta.StoreAttribute(staged, bucket, part, crc64Attribute, []byte(body.crc64())); err != nil {
				return err
			}
		}
		if etag := body.etag(); etag != "" {
			return s.meta.StoreAttribute(staged, bucket, part, etagAttribute, []byte(etag))
		}
		return s.meta.disk.sync(staged)
	})
	if err != nil {
		return out, err
	}
	if etag := body.etag(); etag != "" {
		out.ETag = &etag
	}
	if hidden {
		out.ChecksumCRC64NVME = nil
	}
	s.tellEncryption(ctx, sl.envelope, false)
	return out, nil
}

// completion joins the parts of an encrypted upload. Only the goroutine of its request uses it.
type completion struct {
	meta   durableMeta
	sl     *sealing
	in     *s3.CompleteMultipartUploadInput
	sums   partSums
	footer footer
	ends   []int64 // plain bytes up to the end of each part
	sum    string  // checksum of the whole object; "" if its checksum is composite
	forget func()
	err    error
}

// completeSealed calls CompleteMultipartUpload of the gateway's storage for an encrypted upload.
// The parts are copied as they are; nothing is decrypted. sums are the checksums of the parts.
func (s *store) completeSealed(ctx context.Context, bucket string, in *s3.CompleteMultipartUploadInput, e envelope, sums partSums) (s3response.CompleteMultipartUploadResult, string, error) {
	sl, err := s.unseal(ctx, actionGenerate, nameOf(bucket), *in.Key, e)
	if err != nil {
		return s3response.CompleteMultipartUploadResult{}, "", err
	}
	asked := *in // size and checksum are removed from in: the gateway would compare them with the ciphertext
	c := &completion{meta: s.meta, sl: sl, in: &asked, sums: sums, footer: footer{envelope: e, Parts: true}, forget: func() {}}
	defer func() { c.forget() }()
	in.MpuObjectSize = nil
	if sums.Type == string(types.ChecksumTypeFullObject) {
		takeSum(in)
	}
	out, version, err := s.posix.CompleteMultipartUploadWithCopy(ctx, in, c.copy)
	if c.err != nil {
		return out, version, c.err
	}
	if err == nil {
		if field := sumIn(&out, sums.Algorithm); c.sum != "" && field != nil {
			*field = &c.sum
		}
		s.tellEncryption(ctx, e, false)
	}
	return out, version, err
}

// copy is called by the gateway for each part: it appends the part to the staged object. The
// gateway ignores copy's error. After an error, storing the object's attributes therefore fails,
// and the gateway does not give the object its name.
func (c *completion) copy(from, to *os.File) (again bool, err error) {
	if c.err != nil {
		return true, nil
	}
	if c.err = c.add(from, to); c.err != nil {
		c.forget = c.meta.seals.note(to, attributes{fault: c.err})
	}
	return true, nil
}

func (c *completion) add(from, to *os.File) error {
	last := len(c.footer.Segments) == len(c.in.MultipartUpload.Parts)-1
	if len(c.footer.Segments) == 0 {
		if _, err := to.WriteString(sealedMagic); err != nil {
			return err
		}
	}
	seg, err := readPart(from)
	if err != nil {
		return err
	}
	if !last && seg.Size < backend.MinPartSize {
		return s3err.GetEntityTooSmallErr(seg.Size, backend.MinPartSize)
	}
	if _, err := io.Copy(to, from); err != nil {
		return fmt.Errorf("copy a part: %w", err)
	}
	c.footer.Segments = append(c.footer.Segments, seg)
	c.ends = append(c.ends, c.footer.size())
	if err := c.addSum(seg.Size); err != nil || !last {
		return err
	}
	return c.end(to)
}

// readPart reads the head of a part. The next read from the file returns the segment's first byte.
func readPart(from *os.File) (seg segment, err error) {
	info, err := from.Stat()
	if err != nil {
		return seg, err
	}
	head := make([]byte, partHead)
	if _, err := io.ReadFull(from, head); err != nil || string(head[:len(sealedMagic)]) != sealedMagic {
		return seg, damaged("a part does not begin as it must")
	}
	size, ok := plainSize(info.Size() - int64(partHead))
	if !ok {
		return seg, damaged("a part was cut off")
	}
	return segment{Salt: head[len(sealedMagic):], Size: size}, nil
}

// addSum combines the checksum of the next part with that of the object, unless the object's
// checksum is composite.
func (c *completion) addSum(size int64) (err error) {
	i := len(c.footer.Segments) - 1
	switch {
	case c.sums.Type != string(types.ChecksumTypeFullObject):
	case i >= len(c.sums.Sums) || c.sums.Sums[i] == "":
		return errors.New("a part has no checksum")
	case i == 0:
		c.sum = c.sums.Sums[0]
	default:
		c.sum, err = utils.AddCRCChecksum(types.ChecksumAlgorithm(c.sums.Algorithm), c.sum, c.sums.Sums[i], size)
	}
	return err
}

// end compares size and checksum of the object with those in the request, and writes the footer.
func (c *completion) end(to *os.File) error {
	size := c.footer.size()
	if c.in.MpuObjectSize != nil && *c.in.MpuObjectSize != size {
		return s3err.GetIncorrectMpObjectSizeErr(size, *c.in.MpuObjectSize)
	}
	a := attributes{mark: mark{Plain: size}}
	if c.sum != "" {
		stored := s3response.Checksum{Algorithm: types.ChecksumAlgorithm(c.sums.Algorithm), Type: types.ChecksumTypeFullObject}
		want := sumIn(c.in, c.sums.Algorithm)
		if want != nil && *want != nil && **want != c.sum {
			return s3err.GetChecksumBadDigestErr(stored.Algorithm)
		}
		if field := sumIn(&stored, c.sums.Algorithm); field != nil {
			*field = &c.sum
		}
		var err error
		if a.checksums, err = json.Marshal(stored); err != nil {
			return err
		}
	}
	var err error
	if a.ends, err = backend.MarshalMpUploadMetadata(backend.MpUploadMetadata{UploadID: *c.in.UploadId, Parts: c.ends}, false); err != nil {
		return err
	}
	text, err := c.footer.text(c.sl.data)
	if err != nil {
		return err
	}
	if _, err := to.Write(text); err != nil {
		return err
	}
	info, err := to.Stat()
	if err != nil {
		return err
	}
	a.mark.File = info.Size()
	c.forget = c.meta.seals.note(to, a)
	return nil
}
