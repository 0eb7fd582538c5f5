package s3serve

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strings"

	"github.com/gofiber/fiber/v3"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
)

// answer ends a request with an error. If err is not an S3 error, the client sees only
// InternalError.
func answer(ctx fiber.Ctx, err error) error {
	var e s3err.S3Error
	if !errors.As(err, &e) {
		e = s3err.GetAPIError(s3err.ErrInternalError)
	}
	requestID, hostID := utils.EnsureRequestIDs(ctx)
	ctx.Response().Header.SetContentType(fiber.MIMEApplicationXML)
	return ctx.Status(e.StatusCode()).Send(e.XMLBody(requestID, hostID))
}

// answers makes every error an S3 error document with a code. Clients decide by the code
// whether to retry.
type answers struct{ log *slog.Logger }

// handle is the middleware. It also recovers a panic of one request and logs it; the gateway
// would print it.
func (a answers) handle(ctx fiber.Ctx) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			a.log.Error("embedded S3: a request panicked", "method", ctx.Method(), "panic", fmt.Sprint(fault), "stack", string(debug.Stack()))
			ctx.Response().Header.SetConnectionClose() // it is unknown how much of the body was read
			err = answer(ctx, nil)
		}
	}()
	if err := ctx.Next(); err != nil {
		return answer(ctx, a.explain(ctx, err))
	}
	return nil
}

// coded wraps the gateway's handler and corrects its answers. XML documents get S3's namespace,
// errors without a document get one, and answers without a body get no headers that describe
// one.
func coded(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		next(ctx)
		r := &ctx.Response
		if r.StatusCode() == http.StatusNotImplemented && !r.IsBodyStream() {
			unset(ctx)
		}
		if string(r.Header.Peek("Access-Control-Allow-Credentials")) == "false" { // browsers treat the value "false" as an error (Fetch standard: CORS protocol)
			r.Header.Del("Access-Control-Allow-Credentials")
		}
		switch status := r.StatusCode(); {
		case status == http.StatusNotModified:
			r.ResetBody()
			r.Header.Del(fiber.HeaderContentType)
			r.Header.SetNoDefaultContentType(true)
		case ctx.IsHead() || r.IsBodyStream(): // the content of an object
		case status >= 400 && !hasCode(r.Body()):
			fail(ctx, byStatus(status, http.StatusText(status)))
		case status == http.StatusNotFound: // S3's exact text, which some clients compare
			r.SetBodyRaw(bytes.Replace(r.Body(), []byte("bucket does not exist.<"), []byte("bucket does not exist<"), 1))
		case status < 300 && ctx.UserValue(aclKey) != nil:
			r.SetBodyRaw(aclOf(ctx.UserValue(aclKey).(string)))
		case status < 300 && bytes.HasPrefix(r.Body(), []byte(xmlHead)):
			parts, _ := ctx.UserValue(countKey).(int)
			r.SetBodyRaw(named(r.Body(), parts))
		}
	}
}

const (
	xmlHead   = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	namespace = ` xmlns="http://s3.amazonaws.com/doc/2006-03-01/"`
)

// named adds S3's namespace to the gateway's document; strict XML readers find nothing without it. parts is the
// number of the object's parts, for which the gateway has no element; 0: the document does not describe an
// object.
func named(document []byte, parts int) []byte {
	root, rest, found := strings.Cut(strings.TrimPrefix(string(document), xmlHead), ">")
	if !found || !strings.HasPrefix(root, "<") || strings.Contains(root, " ") || strings.HasPrefix(root, "<PostResponse") {
		return document
	}
	if empty, one := strings.CutSuffix(root, "/"); one {
		root, rest = empty, "/>"+rest
	} else {
		rest = ">" + rest
	}
	if parts > 0 {
		rest = strings.Replace(rest, "<ObjectParts>", fmt.Sprintf("<ObjectParts><PartsCount>%d</PartsCount>", parts), 1)
	}
	return []byte(xmlHead + root + namespace + rest)
}

// fail is answer for use outside the middleware chain.
func fail(ctx *fasthttp.RequestCtx, err error) {
	var e s3err.S3Error = s3err.GetAPIError(s3err.ErrInternalError)
	errors.As(err, &e)
	ctx.Response.Header.SetContentType(fiber.MIMEApplicationXML)
	ctx.SetStatusCode(e.StatusCode())
	ctx.SetBody(e.XMLBody("", ""))
}

// explain converts an error of the HTTP library to an S3 error, and logs any other that is not an S3 error.
func (a answers) explain(ctx fiber.Ctx, err error) error {
	var of *fiber.Error
	var s3 s3err.S3Error
	switch {
	case errors.As(err, &s3):
	case errors.As(err, &of):
		return byStatus(of.Code, http.StatusText(of.Code))
	default:
		a.log.Error("embedded S3: request failed", "method", ctx.Method(), "error", err)
	}
	return err
}

// hasCode reports whether an answer's body is an S3 error with an alphabetic code.
func hasCode(body []byte) bool {
	_, rest, found := bytes.Cut(body, []byte("<Code>"))
	return found && len(rest) > 0 && (rest[0] < '0' || rest[0] > '9') && rest[0] != '<'
}

// codes are S3's error codes for a status that came without one.
var codes = map[int]string{
	http.StatusForbidden: "AccessDenied", http.StatusNotFound: "NoSuchKey", http.StatusMethodNotAllowed: "MethodNotAllowed",
	http.StatusLengthRequired: "MissingContentLength", http.StatusPreconditionFailed: "PreconditionFailed",
	http.StatusRequestEntityTooLarge: "EntityTooLarge", http.StatusRequestedRangeNotSatisfiable: "InvalidRange",
	http.StatusInternalServerError: "InternalError", http.StatusNotImplemented: "NotImplemented", http.StatusServiceUnavailable: "SlowDown",
}

// byStatus returns the S3 error for a status that came without one.
func byStatus(status int, why string) error {
	code, known := codes[status]
	switch {
	case known:
	case status >= 500:
		code = "InternalError"
	default:
		code = "InvalidRequest"
	}
	return refusal(status, code, why)
}

// unreadable answers what is not a valid HTTP request: headers that cannot be parsed or are too large, and a
// body that breaks off in its first bytes. The server then closes the connection.
func unreadable(ctx *fasthttp.RequestCtx, err error) {
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		err = s3err.GetRequestHeaderSectionTooLargeErr(headerSize)
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = errSlow()
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		err = s3err.GetAPIError(s3err.ErrIncompleteBody)
	default:
		err = s3err.GetAPIError(s3err.ErrCannotParseHTTPRequest)
	}
	fail(ctx, err)
}

// headerSize is the maximum size of a request's headers in bytes, as the gateway sets it.
const headerSize = 8 << 10
