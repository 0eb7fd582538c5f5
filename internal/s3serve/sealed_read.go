package s3serve

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"github.com/batholith/batholith/internal/kms"
)

// How encrypted objects are read. The gateway's storage answers with the sealed file, and what
// it says of sizes and ranges is said anew here.
//
// Whether an object is encrypted, its mark says, which is an attribute of its file. Where
// attributes are files, they may be those of another object after a crash, and where an object
// has no attributes, somebody copied it without them. Then the beginning of the file says it,
// and the footer proves it.

// looks is how often a request looks at an object that others replace all the time, by plain
// and encrypted ones in turn.
const looks = 16

func errReplaced() error {
	return refusal(http.StatusServiceUnavailable, "SlowDown", "The object was replaced several times during the read. Try again.")
}

// marked reads the mark of an object; ok is false if it has none. The error is a fault of the storage.
func (s *store) marked(f *os.File, path, key string) (m mark, ok bool, err error) {
	text, err := s.meta.RetrieveAttribute(f, path, key, markAttribute)
	switch {
	case isAbsent(err):
		return m, false, nil
	case err != nil:
		return m, false, fmt.Errorf("read how an object is encrypted: %w", err)
	}
	return m, json.Unmarshal(text, &m) == nil, nil
}

// sealed returns the footer of an object; nil if the object is not encrypted, or not there.
func (s *store) sealed(path, key string) (*sealedFile, error) {
	if isDirectory(key) {
		return nil, nil
	}
	if _, ok, err := s.marked(nil, path, key); !ok && err == nil && s.meta.sidecar == "" {
		if _, err := s.meta.RetrieveAttribute(nil, path, key, etagAttribute); err == nil {
			return nil, nil
		}
	}
	f, err := os.Open(filepath.Join(path, filepath.FromSlash(key)))
	switch {
	case isAbsent(err):
		return nil, nil // the gateway says it
	case err != nil: // with ciphertext, the gateway would answer if it can open the file
		return nil, fmt.Errorf("look whether an object is encrypted: %w", err)
	}
	defer f.Close()
	sf, err := s.sealedOf(f, path, key)
	if errors.Is(err, errPlain) {
		return nil, nil
	}
	return sf, err
}

// sealedOf reads the footer of an open object. The error is errPlain if it is not encrypted.
func (s *store) sealedOf(f *os.File, path, key string) (*sealedFile, error) {
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, errPlain
	}
	sf, err := openSealedFile(f)
	_, ok, merr := s.marked(f, path, key)
	switch {
	case merr != nil:
		return nil, merr
	case ok && err == nil, !ok && errors.Is(err, errPlain):
		return sf, err
	case errors.Is(err, errPlain) && s.meta.sidecar != "":
		return nil, errPlain
	case errors.Is(err, errPlain):
		return nil, damaged("its beginning is missing")
	case ok:
		return nil, err
	case err != nil, s.keys == nil: // an object of a client that happens to begin so
		return nil, errPlain
	}
	d, err := s.keys.Unwrap(sf.Key, sf.Wrapped, sf.bound(nameOf(path), key))
	switch {
	case errors.Is(err, kms.ErrUnusable), errors.Is(err, kms.ErrDisabled): // nothing says that it is plain
		return nil, err
	case err != nil || sf.verify(d.Plain) != nil:
		return nil, errPlain
	}
	return sf, nil
}

// get is GetObject of the gateway's storage, with the plain bytes of encrypted objects.
func (s *store) get(ctx context.Context, path string, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	for range looks {
		before, err := s.sealed(path, *in.Key)
		if err != nil {
			return nil, s.keyError(err)
		}
		if before == nil {
			out, err := s.posix.GetObject(ctx, in)
			if err != nil {
				return out, err
			}
			if after, aerr := s.sealed(path, *in.Key); after == nil && aerr == nil {
				return out, nil
			}
			closeBody(out)
			continue
		}
		whole := *in
		whole.Range, whole.PartNumber = aws.String(""), nil
		out, err := s.posix.GetObject(ctx, &whole)
		if err != nil {
			return out, err
		}
		f, ok := out.Body.(*os.File)
		if !ok {
			return out, nil
		}
		sf, err := s.sealedOf(f, path, *in.Key)
		if err == nil {
			err = s.serve(ctx, path, in, out, f, sf)
		} else if !errors.Is(err, errPlain) {
			err = s.keyError(err)
		}
		if err == nil {
			return out, nil
		}
		f.Close()
		if !errors.Is(err, errPlain) {
			return nil, err
		}
	}
	return nil, errReplaced()
}

func closeBody(out *s3.GetObjectOutput) {
	if out.Body != nil {
		out.Body.Close()
	}
}

// serve makes the answer about a sealed file one about the object.
func (s *store) serve(ctx context.Context, path string, in *s3.GetObjectInput, out *s3.GetObjectOutput, f *os.File, sf *sealedFile) error {
	cut, err := sf.cut(in.Range, in.PartNumber)
	if err != nil {
		return err
	}
	sl, err := s.unseal(ctx, actionDecrypt, nameOf(path), *in.Key, sf.envelope)
	if err != nil {
		return err
	}
	if err := sf.verify(sl.data); err != nil {
		return s.keyError(err)
	}
	body := bufio.NewReaderSize(sf.reader(sl.data, cut.start, cut.length), packagePlain)
	if _, err := body.Peek(1); err != nil && cut.length > 0 { // so that most damage is an answer, and not a connection that breaks off
		return s.keyError(err)
	}
	out.Body = &sealedAnswer{body, f}
	out.ContentLength, out.ContentRange, out.PartsCount = &cut.length, cut.contentRange, cut.parts
	if cut.length != sf.size() {
		dropSums(out)
		out.ChecksumType = ""
	}
	s.tellEncryption(ctx, sf.envelope, false)
	return nil
}

// sealedAnswer is a body that is being decrypted.
type sealedAnswer struct {
	*bufio.Reader
	file io.Closer
}

func (a *sealedAnswer) Close() error { return a.file.Close() }

// dropSums removes the checksums, of the whole object, from the answer to a request for a part
// of it.
func dropSums(out any) {
	for _, name := range checksumNames {
		if field := sumIn(out, name); field != nil {
			*field = nil
		}
	}
}

// hasSums reports whether an answer has a checksum.
func hasSums(out any) bool {
	return slices.ContainsFunc(checksumNames, func(name string) bool {
		field := sumIn(out, name)
		return field != nil && *field != nil
	})
}

// extent is the part of an object that a request is about.
type extent struct {
	start, length int64
	contentRange  *string // "": the whole object
	parts         *int32  // number of parts, if the request names one
}

// cut finds the bytes that a request is about. The answers are those of the gateway for objects
// that are not encrypted.
func (f *footer) cut(header *string, number *int32) (extent, error) {
	size := f.size()
	if number == nil {
		start, length, partial, err := backend.ParseObjectRange(size, aws.ToString(header))
		if err != nil {
			return extent{}, err
		}
		c := extent{start: start, length: length}
		if partial {
			c.contentRange = aws.String(fmt.Sprintf("bytes %d-%d/%d", start, start+length-1, size))
		}
		return c, nil
	}
	count, c := int32(1), extent{length: size}
	if f.Parts {
		count = int32(len(f.Segments))
		c.parts = &count
	}
	if *number > count || *number < 1 {
		return extent{}, s3err.GetInvalidPartNumberRangeErr(count, *number)
	}
	if f.Parts {
		for _, s := range f.Segments[:*number-1] {
			c.start += s.Size
		}
		c.length = f.Segments[*number-1].Size
	}
	if f.Parts || size > 0 {
		c.contentRange = aws.String(fmt.Sprintf("bytes %d-%d/%d", c.start, c.start+c.length-1, size))
	}
	return c, nil
}

// head is HeadObject of the gateway's storage, with the sizes of encrypted objects.
func (s *store) head(ctx context.Context, path string, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	for range looks {
		sf, err := s.sealed(path, *in.Key)
		if err != nil {
			return nil, s.keyError(err)
		}
		at := *in
		if sf != nil {
			at.Range, at.PartNumber = aws.String(""), nil
		}
		out, err := s.posix.HeadObject(ctx, &at)
		if err != nil {
			return out, err
		}
		if sf == nil {
			if after, aerr := s.sealed(path, *in.Key); after == nil && aerr == nil {
				return out, nil
			}
			continue
		}
		if aws.ToInt64(out.ContentLength) != sf.bytes {
			continue // it was replaced
		}
		return out, s.sayHead(ctx, in, out, sf)
	}
	return nil, errReplaced()
}

// mayReadSums returns an error unless the signer may read checksums of plain bytes, which needs the right to decrypt
// (S3: HeadObject).
func (s *store) mayReadSums(ctx context.Context, sf *sealedFile) error {
	if err := s.granted(ctx, actionDecrypt, s.refOf(sf.Key), sf.Algorithm); err != nil {
		return s.keyError(err)
	}
	return nil
}

// mayReadAttributes is mayReadSums for GetObjectAttributes, if its answer has a checksum: of the object or of a part. An
// object without checksums needs no right to decrypt.
func (s *store) mayReadAttributes(ctx context.Context, path, key string, out *s3response.GetObjectAttributesResponse) error {
	request, ok := ctx.(*fasthttp.RequestCtx)
	if !ok {
		return nil
	}
	wanted := strings.Split(string(request.Request.Header.Peek(attributesHeader)), ",")
	tells := slices.Contains(wanted, string(types.ObjectAttributesChecksum)) && out.Checksum != nil && hasSums(out.Checksum)
	if slices.Contains(wanted, string(types.ObjectAttributesObjectParts)) && out.ObjectParts != nil {
		for i := range out.ObjectParts.Parts {
			tells = tells || hasSums(&out.ObjectParts.Parts[i])
		}
	}
	if !tells {
		return nil
	}
	sf, err := s.sealed(path, key)
	switch {
	case err != nil:
		return s.keyError(err)
	case sf == nil:
		return nil
	}
	return s.mayReadSums(ctx, sf)
}

// sayHead makes the answer about a sealed file one about the object.
func (s *store) sayHead(ctx context.Context, in *s3.HeadObjectInput, out *s3.HeadObjectOutput, sf *sealedFile) error {
	cut, err := sf.cut(in.Range, in.PartNumber)
	if err != nil {
		return err
	}
	if in.ChecksumMode == types.ChecksumModeEnabled && hasSums(out) { // S3: only an object with a checksum needs the right
		if err := s.mayReadSums(ctx, sf); err != nil {
			return err
		}
	}
	out.ContentLength, out.ContentRange, out.PartsCount = &cut.length, cut.contentRange, cut.parts
	if cut.length != sf.size() {
		dropSums(out)
		out.ChecksumType = ""
	}
	s.tellEncryption(ctx, sf.envelope, false)
	return nil
}

// sizeOf is the size of an object whose file has this many bytes.
func (s *store) sizeOf(path, key string, file int64) int64 {
	m, ok, err := s.marked(nil, path, key)
	switch {
	case ok && m.File == file:
		return m.Plain
	case !ok && err == nil:
		return file
	}
	if sf, err := s.sealed(path, key); err == nil && sf != nil && sf.bytes == file {
		return sf.size()
	}
	return file
}

// sizes puts the sizes of objects into a listing.
func (s *store) sizes(path string, listed []s3response.Object) {
	for i := range listed {
		if listed[i].Size != nil && listed[i].Key != nil {
			*listed[i].Size = s.sizeOf(path, *listed[i].Key, *listed[i].Size)
		}
	}
}

// condition is what the size of a file must be, if a request is only to be done when its object
// has this size. size is nil without such a condition.
func (s *store) condition(path, key string, size *int64) *int64 {
	if size == nil {
		return nil
	}
	if m, ok, _ := s.marked(nil, path, key); ok { // after a fault, the size of a sealed file is not the one that is asked for
		if m.Plain == *size {
			return &m.File
		}
		return aws.Int64(-1)
	}
	return size
}
