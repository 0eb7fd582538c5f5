package s3serve

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/gofiber/fiber/v3"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
)

// chunked decodes bodies in chunks (S3: aws-chunked). The gateway verifies the request's
// signature, but its storage gets the bytes from this decoder, because the gateway's own
// accepts only one form of a body's end; clients send several.
type chunked struct{ accounts *accounts }

// chunksKey is the request value that holds the decoder of the body.
const chunksKey = "batholith-chunks"

// Values of x-amz-content-sha256 that announce chunks.
const (
	anyChunks       = "STREAMING-"
	unsignedChunks  = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	signedChunks    = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	signedTrailer   = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	asymmetricParts = "STREAMING-AWS4-ECDSA-"
)

// handle is the middleware. It prepares the decoder. If the request's headers are incomplete,
// the gateway rejects them later.
func (c chunked) handle(ctx fiber.Ctx) error {
	a, kind := addressOf(ctx), ctx.Get("X-Amz-Content-Sha256")
	if kind == "" {
		kind, _ = a.value("X-Amz-Content-Sha256") // of a presigned URL
	}
	if !strings.HasPrefix(kind, anyChunks) {
		return ctx.Next()
	}
	b, _ := ctx.Value(incomingKey).(*incoming)
	refuse := func(err error) error {
		if b == nil {
			return answer(ctx, err)
		}
		return refuseUnread(ctx, b, err)
	}
	if strings.HasPrefix(kind, asymmetricParts) {
		return refuse(refusal(http.StatusNotImplemented, "NotImplemented",
			"The embedded S3 does not take signatures by Signature Version 4A ("+kind+"). Sign with AWS4-HMAC-SHA256."))
	}
	length, err := strconv.ParseInt(ctx.Get("X-Amz-Decoded-Content-Length"), 10, 64)
	if err != nil || b == nil || b.document {
		return ctx.Next()
	}
	d := &chunks{from: bufio.NewReaderSize(b, 32<<10), left: length, trailer: strings.ToLower(strings.TrimSpace(ctx.Get("X-Amz-Trailer")))}
	switch {
	case kind != unsignedChunks && kind != signedChunks && kind != signedTrailer:
		return ctx.Next()
	case kind != unsignedChunks && ctx.Get("Authorization") == "":
		return refuse(refusal(http.StatusNotImplemented, "NotImplemented",
			"The embedded S3 takes signed chunks only with an Authorization header. Send "+unsignedChunks+" or the bytes themselves to a signed URL."))
	case kind != unsignedChunks:
		if d.signature = c.seed(ctx); d.signature == nil {
			return ctx.Next()
		}
		d.signature.trailer = kind == signedTrailer
	}
	if err := d.prepare(ctx.Get("Content-Md5")); err != nil {
		return refuse(err)
	}
	ctx.Locals(chunksKey, d)
	return ctx.Next()
}

// seed starts the chain of chunk signatures with the signature in the headers. It returns nil
// if that signature cannot be verified.
func (c chunked) seed(ctx fiber.Ctx) *chain {
	auth, err := utils.ParseAuthorization(ctx.Get("Authorization"))
	if err != nil {
		return nil
	}
	account, err := c.accounts.signing(auth.Access, ctx.Get(tokenHeader))
	if err != nil {
		return nil
	}
	date := ctx.Get("X-Amz-Date")
	if date == "" {
		date = ctx.Get("Date")
	}
	return &chain{key: signingKey(account.Secret, auth.Date, auth.Region), last: auth.Signature, bytes: sha256.New(),
		scope: date + "\n" + auth.Date + "/" + auth.Region + "/s3/aws4_request\n"}
}

// signingKey returns the signing key for a day and a region (AWS: Signature Version 4, derive a
// signing key).
func signingKey(secret, day, region string) []byte {
	key := []byte("AWS4" + secret)
	for _, part := range []string{day, region, "s3", "aws4_request"} {
		key = mac(key, part)
	}
	return key
}

// mac returns HMAC-SHA256(key, text).
func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	io.WriteString(h, text)
	return h.Sum(nil)
}

// chain is the chain of chunk signatures: each covers the previous one.
type chain struct {
	key     []byte    // signing key
	scope   string    // date and scope, as they are signed
	last    string    // previous signature
	bytes   hash.Hash // hash of the current chunk
	trailer bool      // the trailer is signed too
}

// noBytes is the SHA-256 of an empty string, which a chunk's signature covers in place of
// headers.
const noBytes = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// chunk verifies the signature of the current chunk and starts the next.
func (c *chain) chunk(sent string) error {
	err := c.verify("AWS4-HMAC-SHA256-PAYLOAD\n"+c.scope+c.last+"\n"+noBytes+"\n"+hex.EncodeToString(c.bytes.Sum(nil)), sent)
	c.bytes.Reset()
	return err
}

// end verifies the signature of the trailer, which is written as name:value and a line feed.
func (c *chain) end(trailer, sent string) error {
	sum := sha256.Sum256([]byte(trailer))
	return c.verify("AWS4-HMAC-SHA256-TRAILER\n"+c.scope+c.last+"\n"+hex.EncodeToString(sum[:]), sent)
}

// verify compares the signature of text with the one sent, in constant time.
func (c *chain) verify(text, sent string) error {
	c.last = hex.EncodeToString(mac(c.key, text))
	if !hmac.Equal([]byte(c.last), []byte(sent)) {
		return s3err.GetAPIError(s3err.ErrSignatureDoesNotMatch)
	}
	return nil
}

// chunks decodes a body in chunks to the bytes of the object. It belongs to the goroutine of
// its request.
//
//	chunk   = size in hexadecimal [;chunk-signature=64 hexadecimal digits] CR LF bytes CR LF
//	body    = chunks, a chunk of size 0 without bytes, trailer
//	trailer = [name:value line end] [x-amz-trailer-signature:signature line end] line end
//
// A trailer's line ends with LF, CR LF, or LF CR LF as printed in S3's documentation.
type chunks struct {
	from      *bufio.Reader
	left      int64  // object bytes still to come
	trailer   string // name of the checksum in the trailer; "": none
	signature *chain // nil: the chunks are not signed

	number, size int64             // of the current chunk: number from 1, length
	inChunk      int64             // bytes of the current chunk still to come
	sent         string            // signature of the current chunk
	counted      *utils.HashReader // reads chunks and computes the checksum; nil: no trailer
	sum          string            // verified checksum from the trailer
	object       io.Reader         // reader for the storage: this, or this with a Content-MD5
	err          error             // how the body ended
}

// smallest is the minimum size of every chunk except the last, in bytes (S3: aws-chunked).
const smallest = 8 << 10

// prepare sets up the hashes: for the trailer's checksum, and for Content-MD5 if the request
// has that header.
func (c *chunks) prepare(md5 string) (err error) {
	c.object = c
	if md5 != "" {
		sum, err := utils.NewHashReader(c, md5, utils.HashTypeContentMD5)
		if err != nil {
			return s3err.GetInvalidDigestErr(md5)
		}
		c.object = summed{sum, c}
	}
	if c.trailer == "" {
		return nil
	}
	if !strings.HasPrefix(c.trailer, "x-amz-checksum-") {
		return s3err.GetAPIError(s3err.ErrTrailerHeaderNotSupported)
	}
	if c.counted, err = utils.NewHashReader(chunkBytes{c}, "", utils.HashType(c.Algorithm())); err != nil {
		return s3err.GetAPIError(s3err.ErrTrailerHeaderNotSupported)
	}
	return nil
}

// Algorithm returns the algorithm of the trailer's checksum, in lower case.
func (c *chunks) Algorithm() string { return strings.TrimPrefix(c.trailer, "x-amz-checksum-") }

// Checksum returns the trailer's checksum. It is valid after the last byte.
func (c *chunks) Checksum() string { return c.sum }

// Read implements io.Reader. It returns io.EOF if the body was complete and all signatures and
// checksums were correct, otherwise an S3 error.
func (c *chunks) Read(p []byte) (n int, err error) {
	for c.err == nil && c.inChunk == 0 {
		c.err = c.next()
	}
	if c.err != nil || len(p) == 0 {
		return 0, c.err
	}
	p = p[:min(int64(len(p)), c.inChunk)]
	if c.counted != nil {
		n, err = c.counted.Read(p)
	} else {
		n, err = chunkBytes{c}.Read(p)
	}
	if c.inChunk -= int64(n); err == nil && c.inChunk == 0 {
		err = c.endChunk()
	}
	c.err = err
	return n, nil // the error is returned by the next call
}

// chunkBytes reads the bytes of the current chunk.
type chunkBytes struct{ *chunks }

// Read implements io.Reader, and updates the chunk's hash.
func (c chunkBytes) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	if c.signature != nil {
		c.signature.bytes.Write(p[:n])
	}
	return n, broken(err)
}

// broken converts an end of input in the middle of a body to S3's IncompleteBody.
func broken(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return s3err.GetAPIError(s3err.ErrIncompleteBody)
	}
	return err
}

// next reads the header of the next chunk. After the last chunk and a valid trailer it returns
// io.EOF.
func (c *chunks) next() error {
	line, err := c.line()
	if err != nil {
		return err
	}
	text, signature, signed := strings.Cut(line, ";")
	size, err := strconv.ParseInt(text, 16, 64)
	if c.signature != nil {
		signature, signed = strings.CutPrefix(signature, "chunk-signature=")
	}
	if err != nil || size < 0 || strings.Trim(text, hexadecimal) != "" || signed != (c.signature != nil) {
		return refusal(http.StatusBadRequest, "IncompleteBody", "The body is not in chunks as x-amz-content-sha256 announces them.")
	}
	if c.number++; size > 0 && c.number > 1 && c.size < smallest {
		return s3err.GetInvalidChunkSizeErr(int(c.number-1), c.size)
	}
	c.size, c.inChunk, c.sent = size, size, signature
	if c.left -= size; c.left < 0 || size == 0 && c.left > 0 {
		return refusal(http.StatusBadRequest, "IncompleteBody", "The chunks do not hold as many bytes as x-amz-decoded-content-length announces.")
	}
	if size > 0 {
		return nil
	}
	if c.signature != nil {
		if err := c.signature.chunk(c.sent); err != nil {
			return err
		}
	}
	return c.end()
}

// endChunk reads the line end after a chunk and verifies the chunk's signature.
func (c *chunks) endChunk() error {
	var end [2]byte
	if _, err := io.ReadFull(c.from, end[:]); err != nil {
		return broken(err)
	}
	if string(end[:]) != "\r\n" {
		return refusal(http.StatusBadRequest, "IncompleteBody", "A chunk has more bytes than its head announces.")
	}
	if c.signature != nil {
		return c.signature.chunk(c.sent)
	}
	return nil
}

const (
	mostLine      = 1 << 10 // longest line between chunks, in bytes
	mostLines     = 16      // most lines of a trailer
	signatureLine = "x-amz-trailer-signature"
	hexadecimal   = "0123456789abcdefABCDEF"
)

// line reads one line without its line end.
func (c *chunks) line() (string, error) {
	var line []byte
	for {
		b, err := c.from.ReadByte()
		if err != nil {
			return "", broken(err)
		}
		if b == '\n' {
			return strings.TrimSuffix(string(line), "\r"), nil
		}
		if line = append(line, b); len(line) > mostLine {
			return "", refusal(http.StatusBadRequest, "IncompleteBody", "The body is not in chunks: a line between them is longer than 1 KiB.")
		}
	}
}

// end reads the trailer to the end of the body. It returns io.EOF if the trailer is valid.
func (c *chunks) end() error {
	malformed := s3err.GetAPIError(s3err.ErrMalformedTrailer)
	values, ended := map[string]string{}, false
	for lines := 0; ; lines++ {
		if _, err := c.from.Peek(1); err == io.EOF {
			break
		}
		line, err := c.line()
		if err != nil {
			return err
		}
		if lines > mostLines {
			return malformed
		}
		if ended = line == ""; ended {
			continue
		}
		name, value, found := strings.Cut(line, ":")
		name = strings.ToLower(strings.TrimSpace(name))
		if _, twice := values[name]; twice || !found || name != c.trailer && name != signatureLine {
			return malformed
		}
		values[name] = strings.TrimSpace(value)
	}
	if !ended {
		return s3err.GetAPIError(s3err.ErrIncompleteBody)
	}
	return c.believe(values)
}

// believe checks that the trailer is complete, and its signature and checksum. It returns
// io.EOF if they are correct.
func (c *chunks) believe(values map[string]string) error {
	value, named := values[c.trailer]
	signature, signed := values[signatureLine]
	if named != (c.trailer != "") || signed != (c.signature != nil && c.signature.trailer) {
		return s3err.GetAPIError(s3err.ErrMalformedTrailer)
	}
	if signed {
		text := ""
		if named {
			text = c.trailer + ":" + value + "\n"
		}
		if err := c.signature.end(text, signature); err != nil {
			return err
		}
	}
	if !named {
		return io.EOF
	}
	algorithm := types.ChecksumAlgorithm(strings.ToUpper(c.Algorithm()))
	switch {
	case !utils.IsValidChecksum(value, algorithm):
		return s3err.GetInvalidTrailingChecksumHeaderErr(c.trailer)
	case value != c.counted.Sum():
		return s3err.GetChecksumBadDigestErr(algorithm)
	}
	c.sum = value
	return io.EOF
}

// decoded returns the decoder of a body in chunks, or body itself.
func decoded(ctx context.Context, body io.Reader) io.Reader {
	if c, _ := ctx.Value(chunksKey).(*chunks); c != nil {
		return c.object
	}
	return body
}

// summed is a body with both a Content-MD5 and a checksum in its trailer.
type summed struct {
	io.Reader
	*chunks
}

// Read implements io.Reader with the Content-MD5 check.
func (s summed) Read(p []byte) (int, error) { return s.Reader.Read(p) }

var _ middlewares.ChecksumReader = summed{}

// kept returns the Content-Encoding to store: without aws-chunked, which describes the transfer
// and not the object (S3: PutObject).
func kept(encoding *string) *string {
	if encoding == nil || !strings.Contains(strings.ToLower(*encoding), "aws-chunked") {
		return encoding
	}
	var others []string
	for one := range strings.SplitSeq(*encoding, ",") {
		if one = strings.TrimSpace(one); one != "" && !strings.EqualFold(one, "aws-chunked") {
			others = append(others, one)
		}
	}
	text := strings.Join(others, ",")
	return &text
}
