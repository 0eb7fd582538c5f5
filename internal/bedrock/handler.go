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
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/batholith/batholith"
)

// MaxBody is the longest body of a request in bytes. The longest valid one has 200 tags and is a tenth of it.
const MaxBody = 1 << 20

// Options are what a handler needs beside the service.
type Options struct {
	Profile Profile
	Limits  batholith.Limits // MinTimeoutHours and MaxTimeoutHours bound timeoutDurationInHours; 0: as published
	// Admit, when there is one, looks at a request before a byte of its body is read. A request that it refuses is answered, and its
	// connection closed, without the body. An error should be a [Refusal].
	Admit func(r *http.Request) error
	// Authenticate tells who sent a request whose body is this. An error should be a [Refusal]. It must be set: the handler
	// has no notion of an anonymous caller.
	Authenticate func(r *http.Request, body []byte) (Caller, error)
	Log          *slog.Logger // nil: none
	// Observe, when there is one, hears of every answer. Code is empty when the operation succeeded; Operation is when the
	// request named none.
	Observe func(Observation)
}

// Observation is what became of one request.
type Observation struct {
	Operation, Code string
	Status          int
	Took            time.Duration
}

// handler holds nothing that changes, so requests need no lock.
type handler struct {
	Options
	routes []route
	rules  *rules
}

// NewHandler serves s. It matches the raw path, in which an ARN is one segment, so nothing in front of it may decode or clean
// paths.
func NewHandler(s Service, o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &handler{Options: o, routes: newRoutes(s), rules: rulesFor(o.Profile, o.Limits)}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	id := uuid.NewString() // the form that AWS gives
	ctx := context.WithValue(r.Context(), requestIDKey{}, id)
	w.Header().Set("x-amzn-RequestId", id)
	w.Header().Set("Content-Type", "application/json")

	body := &untouched{ReadCloser: r.Body}
	r.Body = body
	rt, answer, err := h.serve(ctx, w, r)
	seen := Observation{Operation: rt.operation, Status: http.StatusOK}
	if err != nil {
		seen.Code, seen.Status, answer = h.refuse(ctx, rt, err)
		w.Header().Set("x-amzn-ErrorType", seen.Code)
		if !body.read && r.ContentLength != 0 && r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close") // or the server would wait for the body before it sends the answer
		}
	}
	// The whole answer is known before its first byte goes out, so an error never looks like success.
	w.WriteHeader(seen.Status)
	_, _ = w.Write(answer) // a client that has gone needs no answer
	seen.Took = time.Since(began)
	h.Log.DebugContext(ctx, "answered", "operation", seen.Operation, "status", seen.Status, "code", seen.Code,
		"request", id, "took", seen.Took)
	if h.Observe != nil {
		h.Observe(seen)
	}
}

// serve does one request up to the body of its answer. A panic in a service is an error like any other.
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
	// The body comes before the caller, because the signature covers it; MaxBody bounds what one request can make us hold.
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
	in, err := rt.input(r, label, body)
	if err != nil {
		return rt, nil, err
	}
	out, err := rt.call(WithCaller(ctx, who), &checker{rules: h.rules}, in)
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

// untouched is a body that remembers whether anything was asked of it.
type untouched struct {
	io.ReadCloser
	read bool
}

func (b *untouched) Read(p []byte) (int, error) {
	b.read = true
	return b.ReadCloser.Read(p)
}

// encode writes what a service answers. Its strings came from users long ago and may be anything.
func encode(v any) ([]byte, error) { return json.Marshal(v, jsontext.AllowInvalidUTF8(true)) }

// unread tells why a body could not be read to its end.
func unread(err error) error {
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		return refuse(CodeRequestEntityTooLarge, "The body is longer than %d bytes.", long.Limit)
	}
	return refuse(CodeSerialization, "The body ends before its end.")
}

// refuse turns an error into an answer. What is no refusal is logged here, once, and shown to nobody.
func (h *handler) refuse(ctx context.Context, rt route, err error) (code string, status int, answer []byte) {
	said := struct {
		Message      string `json:"message"`
		ResourceName string `json:"resourceName,omitzero"`
	}{}
	var r Refusal
	if !errors.As(err, &r) {
		if ctx.Err() == nil { // else the client has gone, and its going is the error
			h.Log.ErrorContext(ctx, "request failed", "operation", rt.operation, "request", RequestID(ctx), "error", err)
		}
		r = refuse(CodeInternalServer, "Something went wrong here. Look for request %s in the log.", RequestID(ctx))
	}
	code, status, said.Message = r.Refusal()
	if e, ok := r.(*Error); ok {
		said.ResourceName = e.ResourceName
		h.mustDeclare(ctx, rt, code)
	}
	answer, _ = encode(said) // two strings can always be encoded
	return code, status, answer
}

// mustDeclare complains of an error that the operation does not declare: SDKs turn only declared ones into typed errors.
func (h *handler) mustDeclare(ctx context.Context, rt route, code string) {
	if rt.operation != "" && !slices.Contains(rt.errors, code) && !front(code) {
		h.Log.WarnContext(ctx, "undeclared error", "operation", rt.operation, "code", code, "request", RequestID(ctx))
	}
}
