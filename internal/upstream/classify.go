package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
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

// classify is the one place that says what a failed attempt looks like. ctx is the attempt's own.
func (b *Backend) classify(ctx context.Context, err error, s *sending) *batholith.Failure {
	var f *batholith.Failure
	if r, ok := errors.AsType[*refusal](err); ok {
		f = b.classifyAnswer(r)
	} else {
		f = b.classifyTransport(ctx, withoutURL(err), s)
	}
	f.Sent = s.wrote.Load() || s.answered.Load()
	f.Message = b.withoutKey(f.Message)
	return f
}

// failure is a failure that is told in our own words, to the record and to everybody.
func failure(kind batholith.FailureKind, format string, args ...any) *batholith.Failure {
	public := fmt.Sprintf(format, args...)
	return &batholith.Failure{Kind: kind, Public: public, Message: public}
}

// classifyTransport judges an attempt that brought no answer, or none that can be read. Errors of net/http and crypto/tls quote what the
// server sent, so their texts go into Message alone.
func (b *Backend) classifyTransport(ctx context.Context, err error, s *sending) *batholith.Failure {
	if e, ok := errors.AsType[*mangled](err); ok {
		f := failure(batholith.FailureRetry, "%s: the answer %s", b.host, e.how)
		f.Message += printable(e.detail, maxSaid)
		return f
	}
	if !s.connected.Load() {
		return b.unreachable(ctx, err)
	}
	switch {
	case errors.Is(context.Cause(ctx), errTimeout):
		return failure(batholith.FailureRetry, "%s did not answer within %v; a longer timeout can be set for the backend", b.host, s.patience)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		f := failure(batholith.FailureRetry, "%s closed the connection before the end of its answer", b.host)
		f.Crash = true
		return f
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		f := failure(batholith.FailureRetry, "%s reset the connection", b.host)
		f.Crash = true
		return f
	}
	f := failure(batholith.FailureRetry, "%s: the answer cannot be read as HTTP", b.host)
	f.Message = b.host + ": " + printable(b.withoutKey(err.Error()), maxSaid)
	return f
}

// unreachable judges an attempt that had no connection: no name, no route, nobody who listens, no TLS, a proxy that refuses.
func (b *Backend) unreachable(ctx context.Context, err error) *batholith.Failure {
	const kind = batholith.FailureUnreachable
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return failure(kind, "%s: the host name cannot be resolved (%s); check the backend's url", b.host, dnsReason(e))
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return failure(kind, "%s refuses connections; is the model server running there?", b.host)
	case isTLS(err):
		return failure(kind, "%s: no trusted TLS connection (%s); check the scheme of the backend's url and its certificate", b.host, tlsReason(err))
	case errors.Is(context.Cause(ctx), errTimeout):
		return failure(kind, "%s cannot be reached (no answer in time); check the backend's url and the network", b.host)
	}
	return failure(kind, "%s cannot be reached (%s); check the backend's url and the network", b.host, dialReason(err))
}

// dnsReason, dialReason and tlsReason tell errors of the network apart in our own words.
func dnsReason(e *net.DNSError) string {
	switch {
	case e.IsNotFound:
		return "no such host"
	case e.IsTimeout:
		return "the name server does not answer"
	}
	return "the name server fails"
}

func dialReason(err error) string {
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return "no answer in time"
	}
	return "no connection"
}

func tlsReason(err error) string {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the certificate is for another host name"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the certificate is signed by an authority that is not known here"
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return "the certificate has expired, or is not valid yet"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the certificate is not valid"
	}
	return "the server does not speak TLS"
}

// classifyAnswer judges an answer other than a plain 200, by what the server says first and by its status then.
func (b *Backend) classifyAnswer(r *refusal) *batholith.Failure {
	kind := r.kind()
	f := &batholith.Failure{Kind: kind, Status: r.status, RetryAfter: r.retryAfter}
	if kind == batholith.FailureBadRecord && (r.status < 400 || r.status >= 500) {
		f.Status = http.StatusBadRequest // the record's fault, whatever the server calls it; this is what its error line says
	}
	f.Message, f.Public = b.answerTexts(r, kind)
	return f
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

// answerTexts say who answered what, and what to do where that is known: for the record, with the words of the server; and for everybody
// else, without them.
func (b *Backend) answerTexts(r *refusal, kind batholith.FailureKind) (message, public string) {
	public = fmt.Sprintf("%s answered %d", b.host, r.status)
	if r.inside {
		public = fmt.Sprintf("%s answered 200 with an error inside", b.host)
	}
	message = public
	said := printable(b.withoutKey(r.said.Message), maxSaid)
	if said != "" {
		message += ": " + said
	}
	if remedy := r.remedy(b.o.Model); remedy != "" && kind == batholith.FailureMisconfigured {
		message, public = message+"; "+remedy, public+"; "+remedy
	}
	if kind == batholith.FailureBadRecord && said != "" {
		message = said // it is about the user's own record; where the model runs does not matter
	}
	return message, public
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

func holdsAny(s string, parts []string) bool {
	for _, p := range parts {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}
