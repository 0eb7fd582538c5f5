package s3serve

import (
	"bytes"
	"net"
	"net/http"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3api/utils"

	"github.com/batholith/batholith/internal/audit"
)

// audited writes a line for each request of the public listener. Requests of this process are not audited.
func audited(log *audit.Log, next fasthttp.RequestHandler) fasthttp.RequestHandler {
	if log == nil {
		return next
	}
	return func(ctx *fasthttp.RequestCtx) {
		if behind(ctx.Conn()) == nil {
			next(ctx)
			return
		}
		e := audit.Entry{Time: time.Now().UTC(), Service: "s3", Action: string(ctx.Method()), Resource: string(ctx.Path()), Agent: string(ctx.UserAgent()),
			Key: audit.KeyOf(string(ctx.Request.Header.Peek("Authorization")), string(ctx.QueryArgs().Peek("X-Amz-Credential")))}
		e.Source, _, _ = net.SplitHostPort(ctx.RemoteAddr().String())
		if log.Refuses(e) {
			fail(ctx, refusal(http.StatusServiceUnavailable, "ServiceUnavailable", "The audit log cannot be written, so all requests are refused. Ask the operator to fix it."))
			return
		}
		trail := audit.NewTrail(e)
		ctx.SetUserValue(audit.Key{}, trail)
		next(ctx)
		if operation, ok := ctx.Value(actKey).(string); ok && operation != "" {
			trail.Asked("s3:" + operation)
		}
		log.Write(trail.Done(string(ctx.Response.Header.Peek(utils.HeaderAmzRequestID)), ctx.Response.StatusCode(), codeOf(&ctx.Response)))
	}
}

// codeOf returns the code of an error document, or "".
func codeOf(r *fasthttp.Response) string {
	if r.StatusCode() < 400 || r.IsBodyStream() {
		return ""
	}
	_, rest, _ := bytes.Cut(r.Body(), []byte("<Code>"))
	code, _, _ := bytes.Cut(rest, []byte("</Code>"))
	return string(code)
}
