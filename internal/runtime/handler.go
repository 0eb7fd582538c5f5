package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/jsonscan"
	"github.com/batholith/batholith/internal/words"
)

// MaxBody is the longest body of a call in bytes. For CountTokens it is the longest body of InvokeModel in Base64, with what is around it.
const (
	MaxBody      = batholith.MaxInputBytes
	maxCountBody = MaxBody/3*4 + 1<<10
)

// writeTime is the time for an answer to reach the client, from its first byte. The time until then is bounded by the model server's timeout.
const writeTime = 2 * time.Minute

// Models finds models by id, alias or ARN.
type Models interface {
	Lookup(idOrARN string) (batholith.Model, bool)
	Models() []batholith.Model
}

// Authorizer decides whether a principal may carry out an action on a resource.
type Authorizer interface {
	Decide(ctx context.Context, r authz.Request) authz.Decision
	// Unrestricted reports whether every principal may do everything in its own account.
	Unrestricted() bool
}

// Lanes sends calls to the model servers.
type Lanes interface {
	// Interact makes one call of a model: it waits for a slot, ahead of all records of jobs, and calls do with it, again with another server if
	// the attempt fails before its first byte was passed on. Canceling ctx cancels the attempt. The error is a *batholith.RecordError, a
	// *batholith.Failure, a *batholith.MediaError, batholith.ErrBusy, a *batholith.NotReadyError, batholith.ErrShutdown, the cause of ctx, or
	// another error of do.
	Interact(ctx context.Context, a Ask, do func(context.Context, Turn) error) error
	// Count returns the number of input tokens of a body. exact is false for an estimate. Its errors are those of Interact.
	Count(ctx context.Context, a Ask) (tokens int64, exact bool, err error)
}

// Ask is what a call asks of a model.
type Ask struct {
	Model string // by id, alias or ARN
	Type  batholith.InvocationType
	Body  []byte
	Who   bedrock.Caller // with whose rights objects that the body names are read
}

// Turn is one attempt of a call, in a slot of a model server.
type Turn interface {
	Model() string            // the server's own name of the model
	Body() []byte             // for the dialect: the call's, with what stands for the objects that it names
	Dialect() dialect.Dialect // between the call's body and the server's protocol
	// Ask translates the body, sends it and translates the whole answer.
	Ask(ctx context.Context) (batholith.Answer, error)
	// Stream sends the call that request makes, and calls each with every event of the answer.
	Stream(ctx context.Context, request func(model string) (batholith.Call, error), each func(data []byte) error) (batholith.Call, error)
	Begun()                       // the client gets the first byte of the answer now
	Used(tokens batholith.Tokens) // of the answer, after Stream
}

// Options configure a handler. Optional are Lanes, Authorizer, Admit, Known, Spent, Used and Log.
type Options struct {
	Models Models
	// Processes is the number of API processes, which share the rates of callers equally. nil: 1.
	Processes func() int
	// Lanes are nil in a process that reaches no model, which answers ServiceUnavailableException.
	Lanes   Lanes
	Region  string
	Profile bedrock.Profile
	Limits  batholith.Limits // MaxCallsPerSecond and MaxTokensPerDay
	// LimitsNow replaces Limits in a server whose settings may change. nil: Limits.
	LimitsNow  func() batholith.Limits
	Authorizer Authorizer // nil: every caller may call every model
	// Admit checks a request's head before its body is read. Authenticate returns the sender of a whole request. Known is called with it.
	Admit        func(r *http.Request) error
	Authenticate func(r *http.Request, body []byte) (bedrock.Caller, error)
	Known        func(ctx context.Context, operation string, who bedrock.Caller)
	// Spent returns the tokens that a caller has used today, for the quota Limits.MaxTokensPerDay. Used is called once for each call that got
	// an answer or a part of one: before the first byte of a whole answer, and at the end of a stream. nil: nothing is counted.
	Spent func(ctx context.Context, who bedrock.Caller) (int64, error)
	Used  func(ctx context.Context, u Use)
	// Observe is called once for each request, after its answer was sent. nil: nobody wants to know.
	Observe func(Observation)
	Log     *slog.Logger
}

// Observation is how one request went, for metrics.
type Observation struct {
	Operation string        // "": none was found
	Model     string        // catalogue id; "": none was found
	Code      string        // of the error, also of one within a stream; "": the answer is whole
	Stream    bool          // the answer is a stream
	First     time.Duration // from the request to the first event of a stream; 0: there was none
	Took      time.Duration // from the request to the end of the answer
}

// handler is immutable but for the rates of callers.
type handler struct {
	Options
	rates  bedrock.Rates
	unread atomic.Int64 // bytes of all streams that their clients have not read
}

// NewHandler returns the handler of the requests for which [Is] is true. It matches the raw path, as bedrock.NewHandler does.
func NewHandler(o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Authorizer == nil {
		o.Authorizer = everything{}
	}
	if o.Admit == nil {
		o.Admit = func(*http.Request) error { return nil }
	}
	if o.Known == nil {
		o.Known = func(context.Context, string, bedrock.Caller) {}
	}
	if o.Used == nil {
		o.Used = func(context.Context, Use) {}
	}
	if o.LimitsNow == nil {
		o.LimitsNow = func() batholith.Limits { return o.Limits }
	}
	return &handler{Options: o, rates: bedrock.Rates{Processes: o.Processes}}
}

// everything permits every action.
type everything struct{}

func (everything) Decide(context.Context, authz.Request) authz.Decision {
	return authz.Decision{Allowed: true}
}
func (everything) Unrestricted() bool { return true }

// call is one request whose sender is known and may make it.
type call struct {
	http   *http.Request
	id     string // of the request
	api    *api   // through which it came; nil: Bedrock's
	op     *operation
	who    bedrock.Caller
	name   string          // of the model, as the client wrote it
	model  batholith.Model // that is called
	body   []byte
	header headers
	began  time.Time
	first  time.Duration // see Observation
	failed string        // code of the error with which a stream ended
	// streams: the body asks for a stream, where it does so.
	streams bool
}

// ServeHTTP answers one request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := uuid.NewString()
	w.Header().Set("x-amzn-RequestId", id)
	w.Header().Set("Content-Type", "application/json")
	until := http.NewResponseController(w)
	_ = until.SetWriteDeadline(time.Time{}) // an answer may take as long as the model server's timeout; a writer without deadlines has none to lift
	c := &call{http: r, id: id, api: apiOf(r), began: time.Now()}
	closeUnread := bedrock.Unread(r)
	err := h.serve(c, w, r)
	defer func() { h.observe(c, w.Header(), err) }()
	_ = until.SetWriteDeadline(time.Now().Add(writeTime))
	if err != nil {
		closeUnread(w.Header())
		h.refuse(c, w, err)
	}
}

// observe tells how a request went. The header has the code of a refusal.
func (h *handler) observe(c *call, answer http.Header, err error) {
	if h.Observe == nil {
		return
	}
	o := Observation{Model: c.model.ID, Code: c.failed, First: c.first, Stream: c.first > 0, Took: time.Since(c.began)}
	if c.op != nil {
		o.Operation = c.op.name
	}
	if err != nil {
		o.Code = answer.Get("x-amzn-ErrorType")
	}
	h.Observe(o)
}

// serve carries out one request. It has written nothing if it returns an error, except for a stream that has begun.
func (h *handler) serve(c *call, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if c.op, c.name, err = find(r); err != nil {
		return err
	}
	if err := h.Admit(r); err != nil {
		return err
	}
	if c.body, err = read(w, r, c.op.most); err != nil {
		if c.op.refuses != "" { // a client of a bidirectional stream sends its body only while it gets the answer
			return validation("%s", c.op.refuses)
		}
		return err
	}
	if c.who, err = h.Authenticate(r, c.body); err != nil {
		return err
	}
	h.Known(r.Context(), c.op.name, c.who)
	if c.op.named {
		if err := c.named(); err != nil {
			return err
		}
	}
	if err := h.allow(c); err != nil {
		return err
	}
	if c.op.refuses != "" {
		return validation("%s", c.op.refuses)
	}
	if c.api == nil {
		if c.header, err = readHeaders(r, c.op); err != nil {
			return err
		}
	}
	if h.Lanes == nil {
		return &Error{Code: CodeServiceUnavailable, Message: "This process runs no model: it answers the API only. Send the call to a process that has a worker (batholith serve)."}
	}
	return c.op.run(h, c, w)
}

// read reads the body of a request, at most most bytes of it.
func read(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	if r.ContentLength > most {
		return nil, validation("The body has %d bytes; the maximum is %d.", r.ContentLength, most)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return nil, validation("The body is longer than %d bytes.", long.Limit)
	case err != nil:
		return nil, &Error{Code: bedrock.CodeSerialization, Message: "The connection ended before the whole body had arrived. Send the request again."}
	}
	return body, nil
}

// allow checks that the caller may carry out the operation on the model, and not more often than the quota says. It finds the model.
func (h *handler) allow(c *call) error {
	if n := h.LimitsNow().MaxCallsPerSecond; n > 0 && !h.rates.Allow(time.Now(), c.who, n) {
		return throttled("Too many calls: principal %s may make %d a second (quota max_calls_per_second). Try again later, or ask the operator to raise the quota.", c.who.Principal, n)
	}
	if c.op.lists {
		return nil
	}
	model, found := h.Models.Lookup(c.name)
	name := c.name
	if found {
		name = model.ID
	}
	if err := h.may(c, name); err != nil {
		return err
	}
	if c.model = model; !found && c.op.refuses == "" {
		return h.noModel(c.name)
	}
	return nil
}

// may returns AccessDeniedException if the caller may not carry out the operation.
func (h *handler) may(c *call, model string) error {
	if h.Authorizer.Unrestricted() || c.op.action == "" {
		return nil
	}
	r := authz.Request{Who: authz.Identity{Account: c.who.Account, Principal: c.who.Principal, Groups: c.who.Groups}, Action: c.op.action,
		Resource: authz.Resource{Type: authz.TypeModel, ID: model}}
	d := h.Authorizer.Decide(c.http.Context(), r)
	if d.Allowed {
		return nil
	}
	arn := batholith.ARN{Partition: "aws", Service: "bedrock", Region: h.Region, Resource: "foundation-model/" + model}
	return &Error{Code: bedrock.CodeAccessDenied, Message: d.Refusal(r, arn.String())}
}

// noModel is the refusal of a model that nobody serves here.
func (h *handler) noModel(name string) error {
	if h.Profile == bedrock.ProfileAWS {
		return validation("The provided model identifier is invalid.") // Bedrock: the message of InvokeModel
	}
	var ids []string
	for _, m := range h.Models.Models() {
		ids = append(ids, m.ID)
	}
	return &Error{Code: bedrock.CodeResourceNotFound, Message: fmt.Sprintf("Could not find the model %s; configured are: %s.", show(name), words.Nearest(name, ids))}
}

// object checks that a body is a JSON object.
func object(body []byte) error {
	if !jsonscan.Sure(body) && !jsontext.Value(body).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
		return validation("Malformed input request: the body is not JSON.")
	}
	for _, b := range body {
		switch b {
		case ' ', '\t', '\r', '\n':
			continue
		case '{':
			return nil
		}
		break
	}
	return validation("Malformed input request: the body is not a JSON object.")
}
