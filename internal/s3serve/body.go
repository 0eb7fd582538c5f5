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

// incoming is the body of a request, counted as it comes in. It takes the place of the HTTP server's stream, which ends in
// the same way (io.EOF) whether all declared bytes came or the connection broke off. It belongs to the goroutine of its
// request.
type incoming struct {
	from     io.Reader
	conn     net.Conn // that it comes over
	declared int64    // Content-Length; -1 with chunked transfer, where a last chunk without bytes is the end
	most     int64    // bytes that may be read: size of a document or of a form's fields; -1: an object, as many as declared
	document bool     // is parsed in memory, and whole before the store is asked
	tooLarge error    // answer to more than most

	request *fasthttp.Request
	read    int64
	err     error // how it ended: io.EOF or an error of S3's. A chunked stream that is read on would wait for another request.
}

// incomingKey is where a request's body lies among the request's values.
const incomingKey = "batholith-body"

// Read returns bytes of the body. Its errors are io.EOF after the last declared byte, and errors of S3's.
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
	case err != nil && err != io.EOF, err != nil && b.read < b.declared, // a broken chunk wraps an io.EOF
		err != nil && b.declared < 0 && brokeOff(b.conn): // between two chunks, or in the trailer
		b.err = s3err.GetAPIError(s3err.ErrIncompleteBody)
	case err != nil, b.read == b.declared:
		b.err = io.EOF
	}
	return n, b.err
}

// finish reads what follows the bytes that somebody wanted, and reports whether the body came to its declared end.
func (b *incoming) finish() error {
	if b.err == nil {
		io.Copy(io.Discard, onlyReader{b}) // its error stays in b.err
	}
	if errors.Is(b.err, io.EOF) {
		return nil
	}
	return b.err
}

// onlyReader hides every method but Read.
type onlyReader struct{ io.Reader }

// Sizes of documents that S3 gives or that follow from its limits, in bytes. What needs more is an object.
const (
	mostKeys       = 2 << 20  // DeleteObjects: 1,000 keys of 1,024 bytes and their tags
	mostParts      = 3 << 20  // CompleteMultipartUpload: 10,000 parts with ETag and checksum
	mostPolicy     = 20 << 10 // PutBucketPolicy
	mostCORS       = 64 << 10 // PutBucketCors
	mostDocument   = 128 << 10
	mostFormFields = 20 << 10 // a form's fields before its file (S3: POST object)
	formReadAhead  = 8 << 10  // that the readers of forms, ours and the gateway's, take beyond them
)

// bodies counts the body of each request against its declared length, and refuses a document that is larger than S3 takes before
// a byte of it is read. An object without a declared length is refused too (S3: MissingContentLength): the HTTP server sees no body,
// but a client of HTTP/1.0 may send one that ends with the connection. Afterwards it sees to the answer and the connection of a
// request whose body broke off.
func bodies(ctx fiber.Ctx) error {
	request := ctx.Request()
	stream := request.BodyStream()
	b := newIncoming(ctx, addressOf(ctx))
	if !b.document && b.declared != -1 && !declaresLength(request.Header.RawHeaders()) {
		ctx.Response().Header.SetConnectionClose() // what follows may be the object
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
		ctx.Response().Header.SetConnectionClose() // what was not read would be taken for the next request
	}
	if err == nil && b.err != nil && !errors.Is(b.err, io.EOF) && ctx.Response().StatusCode() >= 400 {
		return answer(ctx, b.err) // whatever was made of half a body, this is why
	}
	return err
}

// emptyObject is the SHA-256 of {}, which clients that speak JSON sign when they begin an upload in parts (Portkey's gateway does), and do not
// send. The request has no body in S3, and S3 looks at none; the gateway compares.
var emptyObject = fmt.Sprintf("%x", sha256.Sum256([]byte("{}")))

// declaresLength tells whether a request came with a Content-Length. The HTTP server adds one of 0 where there was none.
func declaresLength(head []byte) bool {
	for line := range bytes.Lines(head) {
		if name, _, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			return true
		}
	}
	return false
}

// How much of a refused body is read and forgotten, so that a client that sends all of it first comes to read the answer: a
// connection that is closed with unread bytes takes the answer with it.
const (
	lingerBytes = 4 << 20
	lingerIdle  = 250 * time.Millisecond // without a byte; such a client waits for the answer
	lingerTotal = 5 * time.Second
)

// refuseUnread answers a request whose body nobody wants, and ends its connection.
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

// newIncoming tells by the route what a body is. Whatever is not the body of an object is a document.
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

// ofDocument tells of the requests to put something about an object, not the object.
func ofDocument(ctx fiber.Ctx, a *address) bool {
	return a.has("tagging") || a.has("retention") || a.has("legal-hold") || a.has("acl") || ctx.Get("X-Amz-Copy-Source") != ""
}

func isForm(ctx fiber.Ctx) bool {
	return strings.HasPrefix(strings.ToLower(ctx.Get("Content-Type")), fiber.MIMEMultipartForm)
}

// streaming tells of bodies that the client cut into signed or checksummed chunks (aws-chunked). They declare their length in
// x-amz-decoded-content-length and end with a chunk of their own, also inside a chunked transfer.
func streaming(ctx fiber.Ctx) bool { return utils.IsStreamingPayload(ctx.Get("X-Amz-Content-Sha256")) }

// whole is for the store: the document of the request whose context it is came in whole, or the error says why not.
func whole(ctx context.Context) error {
	b, _ := ctx.Value(incomingKey).(*incoming)
	if b == nil || !b.document {
		return nil
	}
	b.request.Body() // reads what the handlers have not read; they read it from here afterwards
	return b.finish()
}

// object is the body of an object or a part on its way to the store. It ends with io.EOF only if all bytes of the object came
// and the request ended where it said that it would, so what the gateway stages from a body that broke off never gets
// a name.
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

// isFormUpload tells of an upload by form, whose fields the gateway has read and checked.
func isFormUpload(ctx context.Context) bool {
	_, form := ctx.Value(string(utils.ContextKeyObjectPostResult)).(middlewares.PostObjectResult)
	return form
}

type objectBody struct {
	from    io.Reader
	request *incoming // nil: the request has no body
	left    int64     // bytes that were declared and have not come; -1: unknown, in a form, whose boundary is the end of the file
}

// Read returns bytes of the object.
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

// summedBody is an objectBody that ends with a checksum.
type summedBody struct {
	*objectBody
	sum middlewares.ChecksumReader
}

// Algorithm is that of the checksum.
func (s summedBody) Algorithm() string { return s.sum.Algorithm() }

// Checksum is known after the last byte.
func (s summedBody) Checksum() string { return s.sum.Checksum() }

// streamOf reaches the field of a request in which the HTTP server keeps its stream. The server's own way to replace a stream gives
// the old one to other requests.
var streamOf = streamField(reflect.TypeFor[fasthttp.Request]())

type fieldOffset struct {
	offset uintptr
	found  bool
}

func streamField(request reflect.Type) fieldOffset {
	f, ok := request.FieldByName("bodyStream")
	return fieldOffset{f.Offset, ok && f.Type == reflect.TypeFor[io.Reader]()}
}

func (f fieldOffset) set(request *fasthttp.Request, r io.Reader) {
	*(*io.Reader)(unsafe.Add(unsafe.Pointer(request), f.offset)) = r
}
