package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/batholith/batholith"
)

// classify is the one place that says what a failed attempt means. ctx is the attempt's own.
func (b *Backend) classify(ctx context.Context, err error) *batholith.Failure {
	if r, ok := errors.AsType[*refusal](err); ok {
		return b.classifyAnswer(r)
	}
	f := b.classifyTransport(ctx, withoutURL(err))
	f.Message = b.withoutKey(f.Message)
	return f
}

// classifyTransport judges an attempt that brought no answer, or none that can be read.
func (b *Backend) classifyTransport(ctx context.Context, err error) *batholith.Failure {
	retry := func(format string, args ...any) *batholith.Failure {
		return &batholith.Failure{Kind: batholith.FailureRetry, Message: fmt.Sprintf(format, args...)}
	}
	crash := func(format string, args ...any) *batholith.Failure {
		f := retry(format, args...)
		f.Crash = true
		return f
	}
	misconfigured := func(format string, args ...any) *batholith.Failure {
		return &batholith.Failure{Kind: batholith.FailureMisconfigured, Message: fmt.Sprintf(format, args...)}
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return misconfigured("%s: the host name cannot be resolved (%s); check the backend's url", b.host, printable(e.Err, 200))
	}
	if e, ok := errors.AsType[*mangled](err); ok {
		return retry("%s: %v", b.host, e)
	}
	switch {
	case errors.Is(context.Cause(ctx), errTimeout):
		return retry("%s did not answer within %v; a longer timeout can be set for the backend", b.host, b.o.Timeout)
	case errors.Is(err, syscall.ECONNREFUSED):
		return misconfigured("%s refuses connections; is the model server running there?", b.host)
	case isDial(err):
		return misconfigured("%s cannot be reached (%s); check the backend's url and the network", b.host, printable(err.Error(), 200))
	case isTLS(err):
		return misconfigured("%s: no trusted TLS connection (%s); check the scheme of the backend's url and its certificate", b.host, printable(err.Error(), 200))
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return crash("%s closed the connection before the end of its answer", b.host)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return crash("%s reset the connection", b.host)
	}
	return retry("%s: %s", b.host, printable(err.Error(), maxSaid))
}

// classifyAnswer judges an answer other than a plain 200, by what the server says first and by its status then.
func (b *Backend) classifyAnswer(r *refusal) *batholith.Failure {
	kind := r.kind()
	status := r.status
	if kind == batholith.FailureBadRecord && (status < 400 || status >= 500) {
		status = http.StatusBadRequest // the record's fault, whatever the server calls it; this is what its error line says
	}
	return &batholith.Failure{Kind: kind, Status: status, Message: b.withoutKey(b.answerText(r, kind)), RetryAfter: r.retryAfter}
}

func (r *refusal) kind() batholith.FailureKind {
	switch said := strings.ToLower(r.said.Message); {
	case r.said.names("insufficient_quota", "invalid_api_key", "model_not_found", "billing_hard_limit_reached"):
		return batholith.FailureMisconfigured
	case r.inside && strings.Contains(said, "unexpected endpoint"): // LM Studio's way to say 404
		return batholith.FailureMisconfigured
	case r.said.names("context_length_exceeded", "exceed_context_size_error", "content_policy_violation", "content_filter"):
		return batholith.FailureBadRecord
	case r.status >= 500 && holdsAny(said, tooLarge):
		return batholith.FailureBadRecord
	case r.status >= 500 && strings.Contains(said, "loading model"):
		return batholith.FailureBackPressure
	}
	return kindOf(r.status)
}

// tooLarge is how servers say of a prompt, with a status of 500, that it will never fit.
// llama.cpp: "input is too large to process. increase the physical batch size", "the request exceeds the available context size".
var tooLarge = []string{"too large to process", "exceeds the available context", "maximum context length", "larger than the max context", "prompt is too long"}

func kindOf(status int) batholith.FailureKind {
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, 529: // 529: overloaded, by those who follow Anthropic
		return batholith.FailureBackPressure
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity, http.StatusUnavailableForLegalReasons:
		return batholith.FailureBadRecord
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusFailedDependency, 499:
		return batholith.FailureRetry
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return batholith.FailureMisconfigured
	}
	if status >= 500 || status == http.StatusOK {
		return batholith.FailureRetry
	}
	// What is left of 4xx, redirects and success without an answer: the address, the key or the method is wrong.
	return batholith.FailureMisconfigured
}

// answerText says who answered what, and what to do where that is known.
func (b *Backend) answerText(r *refusal, kind batholith.FailureKind) string {
	text := printable(r.said.Message, maxSaid)
	if kind == batholith.FailureBadRecord && text != "" {
		return text // the user's own matter: the words of the model server, and nothing about where it runs
	}
	head := fmt.Sprintf("%s answered %d", b.host, r.status)
	if r.inside {
		head = fmt.Sprintf("%s answered 200 with an error inside", b.host)
	}
	if text != "" {
		head += ": " + text
	}
	if remedy := r.remedy(b.o.Model); remedy != "" && kind == batholith.FailureMisconfigured {
		head += "; " + remedy
	}
	return head
}

func (r *refusal) remedy(model string) string {
	switch {
	case r.said.names("insufficient_quota", "billing_hard_limit_reached") || r.status == http.StatusPaymentRequired:
		return "the account of the API key has no quota left"
	case r.status == http.StatusUnauthorized, r.status == http.StatusForbidden:
		return "check the API key of the backend (api_key_env)"
	case r.status == http.StatusNotFound, r.said.names("model_not_found"):
		return fmt.Sprintf("check that the backend's url is right (an OpenAI-compatible one ends in /v1) and that it serves the model %q", model)
	case r.status >= 300 && r.status < 400:
		return "it redirects to another place; set the backend's url to where it ends"
	}
	return "check the backend's url and protocol"
}

// retryAfter reads how long the server wants to be left alone: seconds or a date (RFC 9110, 10.2.3).
func retryAfter(h http.Header) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	d, err := time.ParseDuration(v + "s")
	if err != nil {
		at, err := http.ParseTime(v)
		if err != nil {
			return 0
		}
		d = time.Until(at)
	}
	return min(max(d, 0), maxRetryAfter)
}

// maxRetryAfter bounds what is believed: a server that was told to come back tomorrow is asked again sooner.
const maxRetryAfter = time.Hour

// withoutURL takes the address out of a client's error: it may hold a user and a password, and messages name the host.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

func (b *Backend) withoutKey(s string) string {
	if b.o.APIKey == "" {
		return s
	}
	return strings.ReplaceAll(s, b.o.APIKey, "[key]")
}

// isDial tells whether no connection could be made at all.
func isDial(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "dial"
}

func holdsAny(s string, parts []string) bool {
	for _, p := range parts {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}
