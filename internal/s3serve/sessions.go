package s3serve

import (
	"bytes"
	"context"
	"net/http"
	"strings"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
)

// tokenHeader names the session token of temporary keys: as a header, as a query parameter of a presigned URL, and
// in lower case as a field of a form.
const tokenHeader = "X-Amz-Security-Token"

// sessionKey is the request value that holds the Account of a temporary key. Later calls of the request, also those
// whose context is derived from the request's, need not look up the token again.
const sessionKey = "batholith-session"

// acting returns the key pair that signed a request whose signature was verified. ok is false for an unsigned
// request.
func (s *store) acting(ctx context.Context) (who Account, ok bool) {
	id := signer(ctx)
	if who, ok = ctx.Value(sessionKey).(Account); ok {
		return who, true
	}
	if who, ok = s.accounts.of(id); ok || id == "" || s.accounts.sessions == nil {
		return who, ok
	}
	for _, token := range tokensOf(ctx) { // only the one that was verified belongs to this key
		if who, err := s.accounts.sessions.Session(id, token); err == nil {
			ctx.(*fasthttp.RequestCtx).SetUserValue(sessionKey, who) // others have no tokens
			return who, true
		}
	}
	return Account{}, false
}

// tokensOf returns the session tokens in a request.
func tokensOf(ctx context.Context) (tokens []string) {
	request, ok := ctx.(*fasthttp.RequestCtx)
	if !ok {
		return nil
	}
	form, _ := request.Value(string(utils.ContextKeyObjectPostResult)).(middlewares.PostObjectResult)
	for _, token := range []string{string(request.Request.Header.Peek(tokenHeader)), queryToken(addressOf(ctx)), form.Fields[strings.ToLower(tokenHeader)]} {
		if token != "" {
			tokens = append(tokens, token)
		}
	}
	return tokens
}

// queryToken returns the session token in a query, or "".
func queryToken(a *address) string {
	if a == nil {
		return ""
	}
	for name, value := range a.each {
		if strings.EqualFold(name, tokenHeader) {
			return value
		}
	}
	return ""
}

// tokenBytes is the largest request to a token service.
const tokenBytes = 64 << 10

// withTokens passes requests to a token service on, as MinIO and Ceph do: forms posted to the path /. S3 has no such
// request.
func withTokens(tokens http.Handler, next fasthttp.RequestHandler) fasthttp.RequestHandler {
	answer := fasthttpadaptor.NewFastHTTPHandler(tokens)
	return func(ctx *fasthttp.RequestCtx) {
		if !ctx.IsPost() || string(ctx.Request.URI().PathOriginal()) != "/" || !bytes.HasPrefix(ctx.Request.Header.ContentType(), []byte("application/x-www-form-urlencoded")) {
			next(ctx)
			return
		}
		if n := ctx.Request.Header.ContentLength(); n < 0 || n > tokenBytes {
			ctx.Response.Header.SetConnectionClose()
			fail(ctx, refusal(http.StatusRequestEntityTooLarge, "EntityTooLarge", "A request to the token service must have a Content-Length of at most 64 KiB."))
			return
		}
		answer(ctx)
		if c := behind(ctx.Conn()); c != nil && ctx.Response.StatusCode() < http.StatusBadRequest {
			c.Prove()
		}
	}
}
