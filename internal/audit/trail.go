package audit

import (
	"cmp"
	"context"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Entry is a line of the log.
type Entry struct {
	Time      time.Time  `json:"time"`    // when the request came
	Request   string     `json:"request"` // id in the answer
	Service   string     `json:"service"` // bedrock, s3 or sts
	Account   string     `json:"account,omitempty"`
	Principal string     `json:"principal,omitempty"` // empty: the sender was not verified, or the request failed before
	Key       string     `json:"key,omitempty"`       // access key id that the request names, or "bearer"; verified only if there is a principal
	Source    string     `json:"source"`              // address of the connection
	Action    string     `json:"action"`              // bedrock:GetModelInvocationJob, s3:PutObject; else the HTTP method
	Resource  string     `json:"resource"`            // path of the request, without its query
	Decision  string     `json:"decision"`            // allowed or denied
	Decisions []Decision `json:"decisions,omitempty"` // what the policies were asked, the first 20
	More      int        `json:"moreDecisions,omitempty"`
	Status    int        `json:"status"`
	Code      string     `json:"code,omitempty"` // of the error
	Agent     string     `json:"agent,omitempty"`
	Usage     *Usage     `json:"usage,omitempty"` // what a call of a model took
	// Event is "end" in a second line of a stream, which is written at its end; the first one is written before its first byte. The two have
	// the same request id.
	Event string `json:"event,omitempty"`
}

// Usage is what a call of a model took. Of a stream that broke off it is an estimate.
type Usage struct {
	Model        string `json:"model"`
	InputTokens  int64  `json:"inputTokens"`
	OutputTokens int64  `json:"outputTokens"`
}

// Decision is one answer of the policies.
type Decision struct {
	Action   string   `json:"action"`
	Resource string   `json:"resource"`
	Allowed  bool     `json:"allowed"`
	Policies []string `json:"policies,omitempty"` // that decided; none: no policy permits it, or there is no policy file
}

// maxDecisions bounds the decisions of a line: a list asks about each of its jobs.
const maxDecisions = 20

// Trail collects what becomes known of a request. Its methods, except Done, may be called on a nil *Trail, and all
// by several goroutines.
type Trail struct {
	mu    sync.Mutex // guards the fields below
	e     Entry
	done  *Entry // the line of Done
	usage *Usage // of a stream, for its second line; nil: there is none
	ended string // code of the error with which a stream ended; "": its answer is whole
}

// NewTrail begins a request.
func NewTrail(e Entry) *Trail { return &Trail{e: e} }

// Key is the key of a request's *Trail in its context.
type Key struct{}

// With returns a context that carries t.
func With(ctx context.Context, t *Trail) context.Context { return context.WithValue(ctx, Key{}, t) }

// Of returns the trail of a context, or nil.
func Of(ctx context.Context) *Trail {
	t, _ := ctx.Value(Key{}).(*Trail)
	return t
}

// Sender notes a verified sender.
func (t *Trail) Sender(account, principal string) {
	t.change(func(e *Entry) { e.Account, e.Principal = account, principal })
}

// Served notes the service that answers, on a listener that has several, and the id in its answer.
func (t *Trail) Served(service, request string) {
	t.change(func(e *Entry) { e.Service, e.Request = service, request })
}

// Refused notes the code of an error that the answer has in a form of its service's own.
func (t *Trail) Refused(code string) { t.change(func(e *Entry) { e.Code = code }) }

// Asked notes the operation.
func (t *Trail) Asked(action string) { t.change(func(e *Entry) { e.Action = action }) }

// Decided notes an answer of the policies.
func (t *Trail) Decided(d Decision) {
	t.change(func(e *Entry) {
		if len(e.Decisions) < maxDecisions {
			e.Decisions = append(e.Decisions, d)
			return
		}
		e.More++
	})
}

// Used notes what a call with a whole answer took. It must be called before Done.
func (t *Trail) Used(u Usage) { t.change(func(e *Entry) { e.Usage = &u }) }

// Streamed notes what a stream took. code is that of the error with which it ended, "" if its answer is whole.
func (t *Trail) Streamed(u Usage, code string) {
	t.change(func(*Entry) { t.usage, t.ended = &u, code })
}

// End returns the second line of a stream, if there is one. It must be called after Done, and t must not be nil.
func (t *Trail) End(now time.Time) (e Entry, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.usage == nil || t.done == nil {
		return Entry{}, false
	}
	e = *t.done
	e.Time, e.Event, e.Usage, e.Code, e.Decisions, e.More = now, "end", t.usage, t.ended, nil, 0
	return e, true
}

func (t *Trail) change(f func(*Entry)) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&t.e)
}

// Done returns the entry of an answered request. request and code are what the listener sees in the answer; "" where
// the service has noted them itself. t must not be nil.
func (t *Trail) Done(request string, status int, code string) Entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.e
	e.Request, e.Status, e.Code, e.Decision = cmp.Or(e.Request, request), status, cmp.Or(e.Code, code), "allowed"
	if status == 401 || status == 403 {
		e.Decision = "denied"
	}
	if n := len(e.Decisions); n > 0 && !strings.Contains(e.Action, ":") { // a request that was denied before its operation was known
		e.Action = e.Decisions[n-1].Action
	}
	e.Resource, e.Agent = short(e.Resource), short(e.Agent)
	t.done = &e
	return e
}

// maxText is the longest text of a line, in bytes.
const maxText = 1024

func short(text string) string {
	if len(text) > maxText {
		return strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return text
}

// keyForm is the id in a credential: ID/DATE/REGION/SERVICE/aws4_request.
var keyForm = regexp.MustCompile(`^[\w.@+=,-]{1,128}$`)

// KeyOf returns the access key id that a request names, "bearer" for a bearer key, or "". credential is the
// query parameter X-Amz-Credential.
func KeyOf(authorization, credential string) string {
	if scheme, _, _ := strings.Cut(authorization, " "); strings.EqualFold(scheme, "Bearer") {
		return "bearer"
	}
	if _, after, ok := strings.Cut(authorization, "Credential="); ok {
		credential = after
	}
	id, _, ok := strings.Cut(credential, "/")
	if !ok || !keyForm.MatchString(id) {
		return ""
	}
	return id
}
