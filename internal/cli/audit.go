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

// openAudit opens the audit log of the settings; nil: there is none.
func openAudit(o serveOptions) (*audit.Log, error) {
	a := o.Config.Audit
	if a.File == "" {
		return nil, nil
	}
	return audit.Open(audit.Options{File: a.File, MaxBytes: int64(a.MaxSize), Keep: a.Keep, Required: a.Required, Log: o.Log})
}

// onTrail are policies whose decisions are noted on the request's line of the audit log.
type onTrail struct{ decider }

// decider is the part of policies that control and s3serve ask.
type decider interface {
	Decide(ctx context.Context, r authz.Request) authz.Decision
	Unrestricted() bool
}

// Decide implements the ports of control and s3serve.
func (p onTrail) Decide(ctx context.Context, r authz.Request) authz.Decision {
	d := p.decider.Decide(ctx, r)
	trail := audit.Of(ctx)
	trail.Sender(r.Who.Account, r.Who.Principal)
	trail.Decided(audit.Decision{Action: r.Action, Resource: r.Resource.Type + " " + r.Resource.ID, Allowed: d.Allowed, Policies: d.Policies})
	return d
}

// audited writes a line for each request to the API.
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
		seen := &onceAnswered{ResponseWriter: w, status: http.StatusOK, done: func(status int) {
			code, _, _ := strings.Cut(w.Header().Get("x-amzn-ErrorType"), ":")
			log.Write(trail.Done(w.Header().Get("x-amzn-RequestId"), status, code))
		}}
		next.ServeHTTP(seen, r.WithContext(audit.With(r.Context(), trail)))
		seen.finish(seen.status)
	})
}

// onceAnswered writes the line before the answer's first byte, so that no client has an answer without one.
type onceAnswered struct {
	http.ResponseWriter
	status int
	done   func(status int) // nil once called
}

func (a *onceAnswered) finish(status int) {
	if a.done != nil {
		a.done(status)
		a.done = nil
	}
}

// WriteHeader and Write implement http.ResponseWriter.
func (a *onceAnswered) WriteHeader(status int) {
	a.status = status
	a.finish(status)
	a.ResponseWriter.WriteHeader(status)
}

func (a *onceAnswered) Write(p []byte) (int, error) {
	a.finish(a.status)
	return a.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController and http.MaxBytesReader reach the server's own writer.
func (a *onceAnswered) Unwrap() http.ResponseWriter { return a.ResponseWriter }
