package bedrock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/batholith/batholith"
)

// MaxBody is the longest request body in bytes. The longest valid body, with 200 tags, has a
// tenth of that.
const MaxBody = 1 << 20

// Options configure a handler.
type Options struct {
	Profile Profile
	Limits  batholith.Limits // MinTimeoutHours and MaxTimeoutHours bound timeoutDurationInHours; 0: as published
	// LimitsNow replaces Limits in a server whose settings may change. nil: Limits.
	LimitsNow func() batholith.Limits
	// Admit, if not nil, checks a request before its body is read. If it returns an error, the
	// handler answers without reading the body and closes the connection. The error should be a
	// [Refusal].
	Admit func(r *http.Request) error
	// Authenticate returns the sender of a request with this body. The error should be a
	// [Refusal]. It must be set: the handler has no anonymous caller.
	Authenticate func(r *http.Request, body []byte) (Caller, error)
	// Known, if not nil, is called once the sender of a request is known.
	Known func(ctx context.Context, operation string, who Caller)
	Log   *slog.Logger // nil: none
	// Observe, if not nil, is called after every answer. Observation.Code is empty if the
	// operation succeeded; Operation is empty if no operation matched the path.
	Observe func(Observation)
}

// Observation describes one answered request, for metrics.
type Observation struct {
	Operation, Code string
	Status          int
	Took            time.Duration // from the first byte of the request's head to the end of the answer
}

// handler is immutable but for the rules, which follow the limits. Concurrent requests need no lock.
type handler struct {
	Options
	routes []route
	known  atomic.Pointer[bounded] // latest rules
}

// bounded are the rules for some limits.
type bounded struct {
	limits batholith.Limits
	rules  *rules
}

// rules returns the rules with the bounds of the present limits.
func (h *handler) rules() *rules {
	l := h.Limits
	if h.LimitsNow != nil {
		l = h.LimitsNow()
	}
	if b := h.known.Load(); b != nil && b.limits == l {
		return b.rules
	}
	b := &bounded{l, rulesFor(h.Profile, l)}
	h.known.Store(b)
	return b.rules
}

// NewHandler returns the HTTP handler of service s. It matches the raw URL path, in which an
// ARN is one percent-encoded segment. A handler in front of it must not decode or clean paths.
func NewHandler(s Service, o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h := &handler{Options: o, routes: newRoutes(s)}
	h.rules()
	return h
}

// ServeHTTP answers one request. The answer is complete in memory before its first byte is
// sent.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	id := uuid.NewString() // the form that AWS gives
	ctx := context.WithValue(r.Context(), requestIDKey{}, id)
	w.Header().Set("x-amzn-RequestId", id)
	w.Header().Set("Content-Type", "application/json")

	closeUnread := Unread(r)
	rt, answer, err := h.serve(ctx, w, r)
	seen := Observation{Operation: rt.operation, Status: http.StatusOK}
	if err != nil {
		seen.Code, seen.Status, answer = h.refuse(ctx, rt, err)
		w.Header().Set("x-amzn-ErrorType", seen.Code)
		closeUnread(w.Header())
	}
	// The status is sent only now, when the whole answer is known, so an error cannot follow a
	// 200.
	w.WriteHeader(seen.Status)
	_, _ = w.Write(answer) // a client that has gone needs no answer
	seen.Took = time.Since(began)
	h.Log.DebugContext(ctx, "answered", "operation", seen.Operation, "status", seen.Status, "code", seen.Code,
		"request", id, "took", seen.Took)
	if h.Observe != nil {
		h.Observe(seen)
	}
}

// serve handles one request up to the encoded answer. A panic in the service becomes an
// ordinary error.
func (h *handler) serve(ctx context.Context, w http.ResponseWriter, r *http.Request) (rt route, answer []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			answer, err = nil, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	rt, label, err := h.find(r)
	if err != nil {
		return rt, nil, err
	}
	if h.Admit != nil {
		if err := h.Admit(r); err != nil {
			return rt, nil, err
		}
	}
	// The signature covers the body, so the body is read before the caller is known. MaxBody
	// bounds the memory of one request.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		return rt, nil, unread(err)
	}
	who, err := h.Authenticate(r, body)
	if err != nil && !rt.body && len(body) > 0 { // nothing reads this body, so that a client may leave it out of its signature: one sends {} to Stop
		who, err = h.Authenticate(r, nil)
	}
	if err != nil {
		return rt, nil, err
	}
	if h.Known != nil {
		h.Known(ctx, rt.operation, who)
	}
	in, err := rt.input(r, label, body)
	if err != nil {
		return rt, nil, err
	}
	out, err := rt.call(WithCaller(ctx, who), &checker{rules: h.rules()}, in)
	if err != nil {
		return rt, nil, err
	}
	if answer, err = encode(out); err != nil {
		return rt, nil, err
	}
	if o, ok := out.(headed); ok {
		o.headers(w.Header())
	}
	return rt, answer, nil
}

// Unread watches whether the body of a request is read. Before a refusal is sent, closes adds the
// header that closes the connection if it was not: http.Server would otherwise wait for the body
// before it sends the answer.
func Unread(r *http.Request) (closes func(http.Header)) {
	body := &untouched{ReadCloser: r.Body}
	r.Body = body
	return func(h http.Header) {
		if !body.read && r.ContentLength != 0 && r.ProtoMajor == 1 {
			h.Set("Connection", "close")
		}
	}
}

// untouched is a request body that records whether it was read.
type untouched struct {
	io.ReadCloser
	read bool
}

// Read implements io.Reader.
func (b *untouched) Read(p []byte) (int, error) {
	b.read = true
	return b.ReadCloser.Read(p)
}

// encode encodes a service's output. Its strings may contain invalid UTF-8 from old jobs, which
// is allowed here.
func encode(v any) ([]byte, error) { return json.Marshal(v, jsontext.AllowInvalidUTF8(true)) }

// unread converts an error from reading the body into a refusal.
func unread(err error) error {
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		return refuse(CodeRequestEntityTooLarge, "The body is longer than %d bytes.", long.Limit)
	}
	return refuse(CodeSerialization, "The connection ended before the whole body had arrived. Send the request again.")
}

// refuse converts an error into code, status and JSON body. An error that is not a Refusal is
// logged here, once, and the client sees only the request id.
func (h *handler) refuse(ctx context.Context, rt route, err error) (code string, status int, answer []byte) {
	said := struct {
		Message      string `json:"message"`
		ResourceName string `json:"resourceName,omitzero"`
	}{}
	var r Refusal
	if !errors.As(err, &r) {
		if ctx.Err() == nil { // otherwise the client has closed the connection, which is the cause of the error
			h.Log.ErrorContext(ctx, "request failed", "operation", rt.operation, "request", RequestID(ctx), "error", err)
		}
		r = refuse(CodeInternalServer, "Internal error. Look for request %s in the log of the server.", RequestID(ctx))
	}
	code, status, said.Message = r.Refusal()
	if e, ok := r.(*Error); ok {
		said.ResourceName = e.ResourceName
		h.mustDeclare(ctx, rt, code)
	}
	answer, _ = encode(said) // two strings can always be encoded
	return code, status, answer
}

// mustDeclare logs a warning if the operation does not declare the error code: SDKs create
// typed errors for declared codes only.
func (h *handler) mustDeclare(ctx context.Context, rt route, code string) {
	if rt.operation != "" && !slices.Contains(rt.errors, code) && !front(code) {
		h.Log.WarnContext(ctx, "undeclared error", "operation", rt.operation, "code", code, "request", RequestID(ctx))
	}
}
