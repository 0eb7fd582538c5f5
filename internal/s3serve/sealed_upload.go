package s3serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// Multipart uploads that are encrypted. Each part is a segment of its own, and a completion joins
// the segments as they are (see sealed.go).

// sealAttribute is the attribute with the envelope of an upload, as JSON.
const sealAttribute = "batholith-seal"

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
	algorithm, sum, hidden := partChecksum(in, upload)
	length := aws.ToInt64(in.ContentLength)
	seg := newSegment(length)
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
		return s.finishPart(staged, bucket, part, body, upload.Type == "")
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

// partChecksum chooses the checksum of a part: that of the request, or else of the upload. If neither names one, it is
// the CRC-64 of S3's default, and hidden: the answer does not have it.
func partChecksum(in *s3.UploadPartInput, upload s3response.Checksum) (algorithm, sum string, hidden bool) {
	algorithm, sum = takeSum(in)
	switch {
	case algorithm != "" || upload.Type == types.ChecksumTypeComposite: // the gateway refuses a part that has no checksum and needs one
	case upload.Type != "":
		algorithm = string(upload.Algorithm)
	default:
		trailing, ok := in.Body.(middlewares.ChecksumReader)
		algorithm, hidden = string(types.ChecksumAlgorithmCrc64nvme), !ok || trailing.Algorithm() == ""
	}
	return algorithm, sum, hidden
}

// finishPart stores the attributes of a staged part that the gateway does not have, or has computed from the
// ciphertext, and makes the part durable. byDefault means that the upload names no checksum; then each part has a
// CRC-64.
func (s *store) finishPart(staged *os.File, bucket, part string, body *sealedBody, byDefault bool) error {
	if byDefault && body.algorithm != string(utils.HashTypeCRC64NVME) { // the gateway takes a CRC64NVME from the body
		if err := s.meta.StoreAttribute(staged, bucket, part, crc64Attribute, []byte(body.crc64())); err != nil {
			return err
		}
	}
	if etag := body.etag(); etag != "" {
		return s.meta.StoreAttribute(staged, bucket, part, etagAttribute, []byte(etag))
	}
	return s.meta.disk.sync(staged)
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
