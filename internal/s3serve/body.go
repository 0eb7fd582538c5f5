package s3serve

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"reflect"
	"strings"
	"time"
	"unsafe"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
)

// incoming is a request body that counts its bytes. It replaces the HTTP server's stream, which
// ends with io.EOF whether all declared bytes came or the connection broke. It belongs to the
// goroutine of its request.
type incoming struct {
	from     io.Reader
	conn     net.Conn // the request's connection
	declared int64    // Content-Length; -1: chunked transfer, which ends with an empty chunk
	most     int64    // maximum number of bytes: of a document or of a form's fields; -1: no maximum, for objects
	document bool     // the body is an XML or JSON document, which is read completely before the store is called
	tooLarge error    // error if the body exceeds most

	request *fasthttp.Request
	read    int64
	err     error // how the body ended: io.EOF or an S3 error. Reading a chunked stream further would wait for the next request
}

// incomingKey is the request value that holds the body.
const incomingKey = "batholith-body"

// Read implements io.Reader. It returns io.EOF after the last declared byte, and S3 errors
// otherwise.
func (b *incoming) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.most >= 0 {
		p = p[:min(int64(len(p)), b.most+1-b.read)]
	}
	n, err := b.from.Read(p)
	b.read += int64(n)
	switch {
	case b.most >= 0 && b.read > b.most:
		n, b.err = 0, b.tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.err = errSlow()
	case err != nil && err != io.EOF, err != nil && b.read < b.declared, // an error in a chunk wraps io.EOF
		err != nil && b.declared < 0 && brokeOff(b.conn): // between two chunks, or in the trailer
		b.err = s3err.GetAPIError(s3err.ErrIncompleteBody)
	case err != nil, b.read == b.declared:
		b.err = io.EOF
	}
	return n, b.err
}

// finish reads the rest of the body and returns nil if the body came to its declared end.
func (b *incoming) finish() error {
	if b.err == nil {
		io.Copy(io.Discard, onlyReader{b}) // the error stays in b.err
	}
	if errors.Is(b.err, io.EOF) {
		return nil
	}
	return b.err
}

// onlyReader hides all methods except Read, so that io.Copy cannot use others.
type onlyReader struct{ io.Reader }

// Maximum sizes of documents in bytes. They are S3's limits or follow from them.
const (
	mostKeys       = 2 << 20  // DeleteObjects: 1,000 keys of 1,024 bytes and their tags
	mostParts      = 3 << 20  // CompleteMultipartUpload: 10,000 parts with ETag and checksum
	mostPolicy     = 20 << 10 // PutBucketPolicy
	mostCORS       = 64 << 10 // PutBucketCors
	mostDocument   = 128 << 10
	mostFormFields = 20 << 10 // a form's fields before its file (S3: POST object)
	formReadAhead  = 8 << 10  // bytes that the form readers, ours and the gateway's, may read beyond the fields
)

// bodies checks each body against its declared length, and rejects a document that is too large
// before reading it. It also rejects an object without a declared length (S3:
// MissingContentLength): the HTTP server assumes there is no body, but an HTTP/1.0 client may
// send one that ends with the connection. After the request it closes the connection if the
// body was not read to its end.
func bodies(ctx fiber.Ctx) error {
	request := ctx.Request()
	stream := request.BodyStream()
	b := newIncoming(ctx, addressOf(ctx))
	if !b.document && b.declared != -1 && !declaresLength(request.Header.RawHeaders()) {
		ctx.Response().Header.SetConnectionClose() // the bytes that follow may be the object
		return answer(ctx, s3err.GetAPIError(s3err.ErrMissingContentLength))
	}
	if b.declared == 0 && ctx.Method() == http.MethodPost && addressOf(ctx).has("uploads") && ctx.Get("X-Amz-Content-Sha256") == emptyObject {
		request.SetBodyString("{}")
		return ctx.Next()
	}
	if stream == nil {
		return ctx.Next()
	}
	b.from, b.request, b.conn = stream, request, ctx.RequestCtx().Conn()
	streamOf.set(request, b)
	ctx.Locals(incomingKey, b)
	switch {
	case b.declared < 0 && !streaming(ctx):
		return refuseUnread(ctx, b, s3err.GetAPIError(s3err.ErrMissingContentLength))
	case streaming(ctx) && strings.Trim(ctx.Get("X-Amz-Decoded-Content-Length"), "0123456789") != "":
		return refuseUnread(ctx, b, refusal(http.StatusBadRequest, "InvalidArgument", "x-amz-decoded-content-length is not a number of bytes."))
	case b.document && b.declared > b.most:
		return refuseUnread(ctx, b, b.tooLarge)
	}
	err := ctx.Next()
	if b.err == nil && b.declared < 0 || b.err != nil && !errors.Is(b.err, io.EOF) {
		ctx.Response().Header.SetConnectionClose() // unread bytes would be parsed as the next request
	}
	if err == nil && b.err != nil && !errors.Is(b.err, io.EOF) && ctx.Response().StatusCode() >= 400 {
		return answer(ctx, b.err) // the missing rest of the body is the cause of whatever failed
	}
	return err
}

// emptyObject is the SHA-256 of {}. Some clients that use JSON sign this body when they start a
// multipart upload, but do not send it (Portkey's gateway). S3 ignores the body of that
// request; the gateway compares the hash.
var emptyObject = fmt.Sprintf("%x", sha256.Sum256([]byte("{}")))

// declaresLength reports whether the request's headers contain Content-Length. The HTTP server
// adds a Content-Length of 0 if there is none.
func declaresLength(head []byte) bool {
	for line := range bytes.Lines(head) {
		if name, _, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			return true
		}
	}
	return false
}

// Bounds of reading a rejected body. A client may send its whole body before it reads the
// answer, and closing the connection with unread bytes would destroy the answer.
const (
	lingerBytes = 4 << 20
	lingerIdle  = 250 * time.Millisecond // without a byte: the client is then waiting for the answer
	lingerTotal = 5 * time.Second
)

// refuseUnread answers a request whose body is not used. It reads some of the body and closes
// the connection.
func refuseUnread(ctx fiber.Ctx, b *incoming, err error) error {
	conn, end, buf := ctx.RequestCtx().Conn(), time.Now().Add(lingerTotal), make([]byte, 16<<10)
	b.most = -1
	for b.err == nil && b.read < lingerBytes && time.Now().Before(end) {
		if conn.SetReadDeadline(time.Now().Add(lingerIdle)) != nil {
			break
		}
		b.Read(buf)
	}
	ctx.Response().Header.SetConnectionClose()
	return answer(ctx, err)
}

// newIncoming determines from the route what the body is. Every body is a document, unless it
// is the content of an object or a form.
func newIncoming(ctx fiber.Ctx, a *address) *incoming {
	b := &incoming{declared: int64(ctx.Request().Header.ContentLength()), document: true, most: mostDocument}
	switch method := ctx.Method(); {
	case method == http.MethodPut && a.key != "" && !ofDocument(ctx, a):
		b.document, b.most = false, -1
	case method == http.MethodPost && a.key != "" && a.has("uploadId"):
		b.most = mostParts
	case method == http.MethodPost && a.key == "" && a.has("delete"):
		b.most = mostKeys
	case method == http.MethodPost && a.key == "" && isForm(ctx):
		b.document, b.most = false, mostFormFields+formReadAhead
		b.tooLarge = refusal(http.StatusBadRequest, "MaxPostPreDataLengthExceeded", "The fields before the file of the form are larger than 20 KiB.")
		return b
	case method == http.MethodPut && a.key == "" && a.has("policy"):
		b.most = mostPolicy
	case method == http.MethodPut && a.key == "" && a.has("cors"):
		b.most = mostCORS
	}
	b.tooLarge = s3err.GetMaxMessageLengthExceeded(b.most)
	return b
}

// ofDocument reports whether a PUT concerns an attribute of an object instead of its content.
func ofDocument(ctx fiber.Ctx, a *address) bool {
	return a.has("tagging") || a.has("retention") || a.has("legal-hold") || a.has("acl") || ctx.Get("X-Amz-Copy-Source") != ""
}

// isForm reports whether the body is a browser form (S3: POST object).
func isForm(ctx fiber.Ctx) bool {
	return strings.HasPrefix(strings.ToLower(ctx.Get("Content-Type")), fiber.MIMEMultipartForm)
}

// streaming reports whether the body is aws-chunked: the client cut it into signed or
// checksummed chunks. Its length is in x-amz-decoded-content-length, and it ends with a chunk
// of its own, also inside a chunked transfer.
func streaming(ctx fiber.Ctx) bool { return utils.IsStreamingPayload(ctx.Get("X-Amz-Content-Sha256")) }

// whole returns an error unless the document of the request in ctx was received completely. The
// store calls it before each effect.
func whole(ctx context.Context) error {
	b, _ := ctx.Value(incomingKey).(*incoming)
	if b == nil || !b.document {
		return nil
	}
	b.request.Body() // reads the body into memory, where the handlers read it afterwards
	return b.finish()
}

// object returns the body of an object or part for the store. It ends with io.EOF only if all
// bytes came and the request ended where it declared. So bytes staged from a body that broke
// off never become visible.
func object(ctx context.Context, body io.Reader, length *int64) io.Reader {
	b, _ := ctx.Value(incomingKey).(*incoming)
	body = decoded(ctx, body)
	o := &objectBody{from: body, request: b, left: -1}
	if isFormUpload(ctx) {
		if b != nil {
			b.most = -1 // the fields are read; what follows is the file
		}
	} else if length != nil {
		o.left = *length
	}
	if sum, ok := body.(middlewares.ChecksumReader); ok {
		return summedBody{objectBody: o, sum: sum}
	}
	return o
}

// isFormUpload reports whether the request is an upload by form, whose fields the gateway has
// read and checked.
func isFormUpload(ctx context.Context) bool {
	_, form := ctx.Value(string(utils.ContextKeyObjectPostResult)).(middlewares.PostObjectResult)
	return form
}

// objectBody is the reader that object returns.
type objectBody struct {
	from    io.Reader
	request *incoming // nil: the request has no body
	left    int64     // declared bytes that have not come; -1: unknown, for a form, whose boundary ends the file
}

// Read implements io.Reader.
func (o *objectBody) Read(p []byte) (int, error) {
	n, err := o.from.Read(p)
	if o.left >= 0 {
		if o.left -= int64(n); o.left < 0 {
			return 0, s3err.GetAPIError(s3err.ErrContentLengthMismatch)
		}
	}
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	if o.left > 0 {
		return n, s3err.GetAPIError(s3err.ErrIncompleteBody)
	}
	if o.request != nil {
		if short := o.request.finish(); short != nil {
			return n, short
		}
	}
	return n, io.EOF
}

// summedBody is an objectBody with a checksum after its last byte.
type summedBody struct {
	*objectBody
	sum middlewares.ChecksumReader
}

// Algorithm returns the checksum's algorithm.
func (s summedBody) Algorithm() string { return s.sum.Algorithm() }

// Checksum returns the checksum. It is valid after the last byte.
func (s summedBody) Checksum() string { return s.sum.Checksum() }

// streamOf gives access to the field of fasthttp.Request that holds the body stream. The public
// setter would return the old stream to a pool, where another request could get it.
var streamOf = streamField(reflect.TypeFor[fasthttp.Request]())

type fieldOffset struct {
	offset uintptr
	found  bool
}

// streamField finds the field by reflection. found is false if the library has changed.
func streamField(request reflect.Type) fieldOffset {
	f, ok := request.FieldByName("bodyStream")
	return fieldOffset{f.Offset, ok && f.Type == reflect.TypeFor[io.Reader]()}
}

func (f fieldOffset) set(request *fasthttp.Request, r io.Reader) {
	*(*io.Reader)(unsafe.Add(unsafe.Pointer(request), f.offset)) = r
}
