package s3serve

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/minio/sio"

	"github.com/batholith/batholith/internal/kms"
)

// An encrypted object is a sealed file:
//
//	magic       16 bytes
//	segments    one for each part that the object was uploaded in: the bytes of the part, encrypted in DARE 2.0 (github.com/minio/sio)
//	footer      JSON: see footer
//	MAC         HMAC-SHA256 of the footer, 32 bytes
//	length      of the footer, 4 bytes, big endian
//	end magic   12 bytes
//
// A part of an upload that is not complete is magic, salt (16 bytes) and one segment. To
// complete the upload, the segments are put together as they are.
//
//	data key    made for each object or upload, wrapped by a key of package kms for the object's bucket and key
//	segment key = HKDF-SHA256(data key, salt, "batholith s3 segment 1")
//	MAC key     = HKDF-SHA256(data key, no salt, "batholith s3 footer 1")
//
// The footer lists the salt and the size of each segment, so that no segment can be left out,
// repeated, or put in another place.
const (
	sealedMagic = "BATHOLITH-SSE-1\n"
	sealedEnd   = "\nBATHSSE1END"
	saltBytes   = 16
	macBytes    = sha256.Size
	tailBytes   = macBytes + 4 + len(sealedEnd)
	partHead    = len(sealedMagic) + saltBytes
	mostFooter  = 4 << 20 // bytes; 10,000 segments have 600 KB

	segmentInfo   = "batholith s3 segment 1"
	footerInfo    = "batholith s3 footer 1"
	packagePlain  = 64 << 10          // DARE 2.0: bytes of a package
	packageSealed = packagePlain + 32 // and the size of it when it is encrypted
)

// The algorithms of S3 (x-amz-server-side-encryption).
const (
	sseS3  = "AES256"
	sseKMS = "aws:kms"
)

// envelope says how an object or an upload is encrypted.
type envelope struct {
	Algorithm string `json:"alg"` // AES256 or aws:kms
	Key       string `json:"key"` // id of the key that wrapped the data key
	Wrapped   []byte `json:"wrapped"`
	Context   string `json:"context,omitempty"` // the client's encryption context, as it was sent: JSON in Base64
}

// segment is one part of an encrypted object.
type segment struct {
	Salt []byte `json:"s"`
	Size int64  `json:"n"` // bytes of plain text
}

// footer is the end of a sealed file.
type footer struct {
	envelope
	Segments []segment `json:"segments"`
	Parts    bool      `json:"parts,omitempty"` // the object was uploaded in parts
}

// bound is the context that the data key of an object is bound to.
func (e envelope) bound(bucket, key string) kms.Context {
	return kms.Context{"use": "s3", "bucket": bucket, "key": key, "algorithm": e.Algorithm, "context": e.Context}
}

// size is the size of the object in bytes.
func (f *footer) size() (n int64) {
	for _, s := range f.Segments {
		n += s.Size
	}
	return n
}

// sealedSize is the size of a segment of n bytes when it is encrypted: n + 32 × ceil(n / 64
// KiB).
func sealedSize(n int64) int64 { return n + 32*((n+packagePlain-1)/packagePlain) }

// plainSize is the inverse of sealedSize; ok is false for a size that no segment has.
func plainSize(n int64) (plain int64, ok bool) {
	plain = n - 32*((n+packageSealed-1)/packageSealed)
	return plain, plain >= 0 && sealedSize(plain) == n
}

// derive makes a key of a data key. It fails for no data key of the right size.
func derive(data, salt []byte, info string) ([]byte, error) {
	return hkdf.Key(sha256.New, data, salt, info, kms.KeySize)
}

// dare is the configuration of a segment's encryption.
func dare(data, salt []byte, sequence uint32) (sio.Config, error) {
	key, err := derive(data, salt, segmentInfo)
	return sio.Config{MinVersion: sio.Version20, MaxVersion: sio.Version20, Key: key, SequenceNumber: sequence, CipherSuites: []byte{sio.AES_256_GCM}}, err
}

// newSegment makes a segment of n bytes with a random salt.
func newSegment(n int64) segment {
	s := segment{Salt: make([]byte, saltBytes), Size: n}
	rand.Read(s.Salt) // never fails
	return s
}

// seal returns a reader of the segment of what plain reads.
func (s segment) seal(data []byte, plain io.Reader) (io.Reader, error) {
	config, err := dare(data, s.Salt, 0)
	if err != nil {
		return nil, err
	}
	return sio.EncryptReader(plain, config)
}

// text is the end of a sealed file: footer, MAC, length and end magic.
func (f *footer) text(data []byte) ([]byte, error) {
	text, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	mac, err := macOf(data, text)
	if err != nil {
		return nil, err
	}
	size := binary.BigEndian.AppendUint32(nil, uint32(len(text)))
	return bytes.Join([][]byte{text, mac, size, []byte(sealedEnd)}, nil), nil
}

func macOf(data, text []byte) ([]byte, error) {
	key, err := derive(data, nil, footerInfo)
	if err != nil {
		return nil, err
	}
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(nil), nil
}

// errPlain says that a file is not a sealed one.
var errPlain = errors.New("the file is not encrypted")

// sealedFile is a sealed file whose footer was read, and not yet verified.
type sealedFile struct {
	footer
	file      io.ReaderAt
	bytes     int64 // size of the file
	text, mac []byte
}

// readSealed reads the footer of a file of this size. The error is errPlain if the file does
// not begin as sealed files do, and kms.ErrInvalid if it was cut off or changed.
func readSealed(file io.ReaderAt, size int64) (*sealedFile, error) {
	head := make([]byte, len(sealedMagic))
	if n, err := file.ReadAt(head, 0); n < len(head) && !errors.Is(err, io.EOF) && err != nil {
		return nil, fmt.Errorf("read an encrypted object: %w", err)
	}
	if string(head) != sealedMagic {
		return nil, errPlain
	}
	if size < int64(len(sealedMagic)+tailBytes) {
		return nil, damaged("it is too short")
	}
	tail := make([]byte, tailBytes)
	if _, err := file.ReadAt(tail, size-int64(tailBytes)); err != nil {
		return nil, fmt.Errorf("read an encrypted object: %w", err)
	}
	length := int64(binary.BigEndian.Uint32(tail[macBytes:]))
	start := size - int64(tailBytes) - length
	if string(tail[macBytes+4:]) != sealedEnd || length > mostFooter || start < int64(len(sealedMagic)) {
		return nil, damaged("its end is missing")
	}
	s := &sealedFile{file: file, bytes: size, text: make([]byte, length), mac: tail[:macBytes]}
	if _, err := file.ReadAt(s.text, start); err != nil {
		return nil, fmt.Errorf("read an encrypted object: %w", err)
	}
	if err := s.parse(start); err != nil {
		return nil, err
	}
	return s, nil
}

// parse reads the footer, which begins at this byte of the file. It believes no size that the
// file does not have.
func (s *sealedFile) parse(start int64) error {
	if json.Unmarshal(s.text, &s.footer) != nil {
		return damaged("its footer is not JSON")
	}
	at := int64(len(sealedMagic))
	for _, seg := range s.Segments {
		if seg.Size < 0 || seg.Size > start || len(seg.Salt) != saltBytes {
			return damaged("its footer lists an impossible segment")
		}
		if at += sealedSize(seg.Size); at > start {
			break
		}
	}
	if at != start {
		return damaged("its size is not that of its segments")
	}
	return nil
}

func damaged(how string) error {
	return fmt.Errorf("the encrypted object is damaged: %s: %w", how, kms.ErrInvalid)
}

// verify checks the footer with the data key.
func (s *sealedFile) verify(data []byte) error {
	mac, err := macOf(data, s.text)
	if err != nil {
		return err
	}
	if !hmac.Equal(mac, s.mac) {
		return damaged("its footer was changed")
	}
	return nil
}

// reader reads n bytes of the object from an offset. The range lies within the object. The
// footer was verified.
func (s *sealedFile) reader(data []byte, offset, n int64) io.Reader {
	return &sealedReader{file: s, data: data, at: int64(len(sealedMagic)), skip: offset, left: n}
}

// sealedReader decrypts one segment after the other. It hands out no byte that is not
// authentic.
type sealedReader struct {
	file *sealedFile
	data []byte
	next int   // segment
	at   int64 // where that begins in the file
	skip int64 // bytes of the object before those that are wanted, from that segment on
	left int64 // bytes that are wanted

	now io.Reader // present segment, from the wanted byte on
}

func (r *sealedReader) Read(p []byte) (int, error) {
	for r.left > 0 {
		if r.now == nil {
			if err := r.open(); err != nil {
				return 0, err
			}
		}
		n, err := r.now.Read(p[:min(int64(len(p)), r.left)])
		r.left -= int64(n)
		switch {
		case errors.Is(err, io.EOF):
			r.now = nil
		case err != nil:
			return n, damaged(err.Error())
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, io.EOF
}

// open begins the next segment that has wanted bytes, at the package of the first of them.
func (r *sealedReader) open() error {
	for r.next < len(r.file.Segments) {
		seg, at := r.file.Segments[r.next], r.at
		r.next, r.at = r.next+1, at+sealedSize(seg.Size)
		if r.skip >= seg.Size {
			r.skip -= seg.Size
			continue
		}
		first := r.skip / packagePlain
		config, err := dare(r.data, seg.Salt, uint32(first))
		if err != nil {
			return err
		}
		from := at + first*packageSealed
		plain, err := sio.DecryptReader(io.NewSectionReader(r.file.file, from, r.at-from), config)
		if err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, plain, r.skip-first*packagePlain); err != nil {
			return damaged(err.Error())
		}
		r.now, r.skip = plain, 0
		return nil
	}
	return damaged("it ends too early")
}

// openSealedFile is readSealed of an open file.
func openSealedFile(f *os.File) (*sealedFile, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return readSealed(f, info.Size())
}
