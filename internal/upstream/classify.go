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
	"github.com/batholith/batholith/internal/plain"
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
		f.Message += plain.Short(e.detail, maxSaid)
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
	f.Message = b.host + ": " + plain.Short(b.withoutKey(err.Error()), maxSaid)
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

// kind groups answers. Names of errors come first, then words at the beginning of a message, then the status. Words move an answer only
// to a kind that evidence is asked about, or that is waited for with a bound: a message may quote the record.
func (r *refusal) kind() batholith.FailureKind {
	said := strings.ToLower(r.said.Message)
	said = said[:min(len(said), maxSaid)]
	clients := r.inside || r.status >= 400 && r.status < 500 // the server says that it is the client's fault
	switch {
	case r.said.names(wrongSetting...), clients && holdsAny(said, wrongSettingWords):
		return batholith.FailureMisconfigured
	case r.inside && strings.Contains(said, "unexpected endpoint"): // LM Studio's way to say 404
		return batholith.FailureMisconfigured
	case r.said.names(namedBadRecord...):
		return batholith.FailureBadRecord
	case r.status == http.StatusTooManyRequests && strings.Contains(said, "request too large"): // OpenAI: it alone is more than a minute's quota
		return batholith.FailureBadRecord
	case r.status >= 500 && holdsAny(said, tooLarge):
		return batholith.FailureBadRecord
	case r.status >= 500 && holdsAny(said, noRoomNow), r.said.names(noRoom...):
		return batholith.FailureBackPressure
	case clients && r.status != http.StatusTooManyRequests && (holdsAny(said, noRoomNow) || holdsAny(said, modelGone)):
		return batholith.FailureRetry
	}
	return kindOf(r.status)
}

// What servers say, in lower case but for names.
var (
	// wrongSetting are the names of errors about the account, the key or the model. OpenAI has most; Azure, Moonshot and DashScope the others.
	wrongSetting = []string{"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "account_deactivated", "invalid_api_key",
		"model_not_found", "model_not_supported", "DeploymentNotFound", "exceeded_current_quota_error", "Arrearage"}
	// wrongSettingWords are the same, told as a bad request: LiteLLM, OpenRouter, Gemini, Anthropic.
	wrongSettingWords = []string{"invalid model name", "is not a valid model id", "api key not valid", "incorrect api key", "invalid api key",
		"credit balance is too low"}
	namedBadRecord = []string{"context_length_exceeded", "exceed_context_size_error", "content_policy_violation", "content_filter"}
	// tooLarge is how servers say of a prompt, with a status of 500, that it will never fit.
	// llama.cpp: "input is too large to process. increase the physical batch size", "the request exceeds the available context size".
	tooLarge = []string{"too large to process", "exceeds the available context", "maximum context length", "larger than the max context", "prompt is too long"}
	noRoom   = []string{"capacity_exceeded", "overloaded_error", "server_busy"} // Groq has status 498 for the first
	// noRoomNow is how servers say that the model is being loaded, or that all places are taken: llama.cpp, Hugging Face, Ollama, KoboldCpp.
	noRoomNow = []string{"loading model", "model is loading", "currently loading", "still loading", "server busy", "server is busy",
		"no slots available", "no slot available", "maximum pending requests", "queue is full"}
	// modelGone is how servers say that a model went away under a request, as a bad request or as not found: LM Studio, llama.cpp with
	// several models, TabbyAPI. The same request loads it again. It may also be gone for good; evidence tells.
	modelGone = []string{"model unloaded", "model is unloaded", "failed to load model", "model has crashed", "model crashed", "no model is loaded",
		"no models loaded", "no models are currently loaded", "model is not loaded", "model not loaded", "channel error", "model has unexpectedly stopped"}
)

// kindOf groups the statuses of answers that say nothing more.
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
	// What is left of 4xx, redirects and success without an answer: the address, the key or the method may be wrong.
	return batholith.FailureMisconfigured
}

// answerTexts say who answered what, and what to do where that is known: for the record, with the words of the server; and for everybody
// else, without them.
func (b *Backend) answerTexts(r *refusal, kind batholith.FailureKind) (message, public string) {
	public = fmt.Sprintf("%s answered %d", b.host, r.status)
	if r.inside {
		public = fmt.Sprintf("%s answered 200 with an error inside", b.host)
	}
	if r.said.page {
		public += " with an HTML page"
	}
	message = public
	said := plain.Short(b.withoutKey(r.said.Message), maxSaid)
	if said != "" {
		message += ": " + said
	}
	if remedy := r.remedy(b.o.Model); remedy != "" && kind == batholith.FailureMisconfigured {
		message, public = message+"; "+remedy, public+"; "+remedy
	}
	if kind == batholith.FailureBadRecord && said != "" && !r.said.page {
		message = said // it is about the user's own record; where the model runs does not matter
	}
	return message, public
}

func (r *refusal) remedy(model string) string {
	words := strings.ToLower(r.said.Message)
	switch {
	case r.said.names("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "exceeded_current_quota_error", "Arrearage"),
		r.status == http.StatusPaymentRequired, strings.Contains(words, "credit balance"):
		return "the account of the API key has no quota left, or not enough for this request"
	case r.status == http.StatusUnauthorized, r.said.names("invalid_api_key", "account_deactivated"), strings.Contains(words, "api key"):
		return "check the API key of the backend (api_key_env)"
	case r.status == http.StatusForbidden && r.said.page:
		return "a firewall or proxy before the model server may refuse the request"
	case r.status == http.StatusForbidden:
		return "check the API key of the backend (api_key_env) and what it may use"
	case r.status == http.StatusNotFound, r.said.names("model_not_found", "model_not_supported", "DeploymentNotFound"), strings.Contains(words, "model"):
		return fmt.Sprintf("check that the backend's url is right (an OpenAI-compatible one ends in /v1) and that it serves the model %q", model)
	case r.status >= 300 && r.status < 400:
		return "it redirects to another place; set the backend's url to where it ends"
	}
	return "check the backend's url and protocol"
}

// retryAfter reads how long the server wants to be left alone: seconds or a date (RFC 9110, 10.2.3), or milliseconds (OpenAI, Azure).
func retryAfter(h http.Header) time.Duration {
	if d, err := time.ParseDuration(strings.TrimSpace(h.Get("Retry-After-Ms")) + "ms"); err == nil {
		return min(max(d, 0), maxRetryAfter)
	}
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
