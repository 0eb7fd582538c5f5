package cli

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/batholith/batholith/internal/audit"
	"github.com/batholith/batholith/internal/authz"
)

// openAudit opens the audit log that the settings name. It returns nil without an error if audit.file is empty;
// audited and onTrail accept that. The error of a file that cannot be opened stops the start of the server.
func openAudit(o serveOptions) (*audit.Log, error) {
	a := o.Config.Audit
	if a.File == "" {
		return nil, nil
	}
	return audit.Open(audit.Options{File: a.File, MaxBytes: int64(a.MaxSize), Keep: a.Keep, Required: a.Required, Log: o.Log})
}

// onTrail adds each decision of the policies to the request's line of the audit log. The decision itself is not
// changed.
type onTrail struct{ decider }

// decider is the part of the policies that packages control and s3serve call.
type decider interface {
	Decide(ctx context.Context, r authz.Request) authz.Decision
	Unrestricted() bool
}

// Decide returns the decision of the policies and adds it to the trail in ctx, with the principal who asked.
// Without a trail in ctx nothing is recorded.
func (p onTrail) Decide(ctx context.Context, r authz.Request) authz.Decision {
	d := p.decider.Decide(ctx, r)
	trail := audit.Of(ctx)
	trail.Sender(r.Who.Account, r.Who.Principal)
	trail.Decided(audit.Decision{Action: r.Action, Resource: r.Resource.Type + " " + r.Resource.ID, Allowed: d.Allowed, Policies: d.Policies})
	return d
}

// audited returns a handler that writes one line to the audit log for each request to the Bedrock API, and calls
// next. Requests that an open page of the console repeats are left out (see audit.Repeats). With audit.required and a log that cannot be written, it answers 503 ServiceUnavailableException instead
// of calling next: a request that leaves no line is not carried out. If log is nil, it returns next.
func audited(log *audit.Log, next http.Handler) http.Handler {
	if log == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := audit.Entry{Time: time.Now().UTC(), Service: "bedrock", Action: r.Method, Resource: r.URL.Path, Agent: r.UserAgent(),
			Key: audit.KeyOf(r.Header.Get("Authorization"), r.URL.Query().Get("X-Amz-Credential"))}
		e.Source, _, _ = net.SplitHostPort(r.RemoteAddr)
		if log.Refuses(e) {
			w.Header().Set("x-amzn-ErrorType", "ServiceUnavailableException")
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusServiceUnavailable)
			w.Write([]byte(`{"message":"The audit log cannot be written, so that requests are refused. Ask the operator."}`))
			return
		}
		trail := audit.NewTrail(e)
		// The status is 200 if the handler writes a body without a header, as net/http assumes.
		seen := &onceAnswered{ResponseWriter: w, status: http.StatusOK, done: func(status int) {
			code, _, _ := strings.Cut(w.Header().Get("x-amzn-ErrorType"), ":")
			if e := trail.Done(w.Header().Get("x-amzn-RequestId"), status, code); !audit.Repeated(r.Context(), e) {
				log.Write(e)
			}
		}}
		next.ServeHTTP(seen, r.WithContext(audit.With(r.Context(), trail)))
		seen.finish(seen.status)
		if end, ok := trail.End(time.Now().UTC()); ok {
			log.Write(end)
		}
	})
}

// onceAnswered calls done exactly once, before the first byte of the answer is written. So no client receives an
// answer that has no line in the log. A crash between the two leaves a line whose answer was not sent.
type onceAnswered struct {
	http.ResponseWriter
	status int
	done   func(status int) // nil once called
}

// finish calls done with the status, unless it was called before. audited calls it at the end too, for an answer
// without a body.
func (a *onceAnswered) finish(status int) {
	if a.done != nil {
		a.done(status)
		a.done = nil
	}
}

// WriteHeader writes the line of the log, and then the status to the client.
func (a *onceAnswered) WriteHeader(status int) {
	a.status = status
	a.finish(status)
	a.ResponseWriter.WriteHeader(status)
}

// Write writes the line of the log with the status so far, 200 unless WriteHeader was called, and then p to the
// client.
func (a *onceAnswered) Write(p []byte) (int, error) {
	a.finish(a.status)
	return a.ResponseWriter.Write(p)
}

// Unwrap returns the server's own writer. http.ResponseController and http.MaxBytesReader look for it there.
func (a *onceAnswered) Unwrap() http.ResponseWriter { return a.ResponseWriter }
