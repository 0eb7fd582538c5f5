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
	"github.com/batholith/batholith/internal/network"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/system"
	"github.com/batholith/batholith/internal/words"
)

// classify converts the error of a failed attempt into a Failure: its kind, and the texts for
// the record and for everyone else. All failures are made here. ctx is the context of the
// attempt.
func (b *Backend) classify(ctx context.Context, err error, s *sending) *batholith.Failure {
	var f *batholith.Failure
	if r, ok := errors.AsType[*refusal](err); ok {
		f = b.classifyAnswer(r)
	} else if _, ok := errors.AsType[*unsigned](err); ok {
		f = b.noKeys()
	} else {
		f = b.classifyTransport(ctx, withoutURL(err), s)
	}
	f.Sent = s.wrote.Load() || s.answered.Load()
	f.Message = b.withoutKey(f.Message)
	return f
}

// failure returns a Failure whose text is entirely ours, so both the record and everyone else
// may see it: the cause, which names the host, and the remedy, "" if none is known.
func failure(kind batholith.FailureKind, remedy, cause string, args ...any) *batholith.Failure {
	public := fmt.Sprintf(cause, args...)
	if remedy != "" {
		public += "; " + remedy
	}
	return &batholith.Failure{Kind: kind, Public: public, Message: public, Remedy: remedy}
}

// classifyTransport classifies an attempt without a readable answer. Errors of net/http and
// crypto/tls may quote the server, so their texts go into Message only.
func (b *Backend) classifyTransport(ctx context.Context, err error, s *sending) *batholith.Failure {
	if e, ok := errors.AsType[*mangled](err); ok {
		f := failure(batholith.FailureRetry, "", "%s: the answer %s", b.host, e.how)
		f.Message += plain.Short(e.detail, maxSaid)
		return f
	}
	if !s.connected.Load() {
		return b.unreachable(ctx, err)
	}
	seeLog := "the model server's log may say why"
	if b.proxied() {
		seeLog = "the log of the model server, or of its proxy" + b.proxyHost() + ", may say why"
	}
	switch {
	case errors.Is(context.Cause(ctx), errTimeout):
		f := failure(batholith.FailureRetry, s.late, "%s did not answer within %s", b.host, words.Span(s.patience))
		f.TimedOut = true
		return f
	case errors.Is(context.Cause(ctx), errSilent):
		f := failure(batholith.FailureRetry, seeLog, "%s sent nothing for %s in the middle of a stream", b.host, words.Span(b.silence()))
		f.TimedOut = true
		return f
	case b.base.Scheme == "http" && strings.Contains(err.Error(), `malformed HTTP response "\x15`): // net/http: a TLS alert
		return failure(batholith.FailureUnreachable, "write https:// in the backend's url", "%s wants TLS", b.host)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		f := failure(batholith.FailureRetry, seeLog, "%s closed the connection before its answer was complete", b.host)
		f.Crash = true
		return f
	case system.Is(err, syscall.ECONNRESET), system.Is(err, syscall.EPIPE):
		f := failure(batholith.FailureRetry, seeLog, "%s reset the connection", b.host)
		f.Crash = true
		return f
	}
	check := "check the backend's url"
	if b.proxied() {
		check += " and its proxy" + b.proxyHost()
	}
	f := failure(batholith.FailureRetry, check, "%s sent an answer that is not valid HTTP", b.host)
	f.Message = b.host + ": " + plain.Short(b.withoutKey(err.Error()), maxSaid)
	return f
}

// unreachable classifies an attempt without a connection: unknown host name, no route,
// connection refused, TLS error, or a proxy that rejects it.
func (b *Backend) unreachable(ctx context.Context, err error) *batholith.Failure {
	if f, ok := errors.AsType[*batholith.Failure](err); ok { // of a Process that is not ready
		known := *f
		return &known
	}
	const (
		kind    = batholith.FailureUnreachable
		howNear = "check the backend's url and the network"
	)
	if r, ok := errors.AsType[*network.Refusal](err); ok {
		return failure(kind, r.Remedy(), "%s: %s", b.host, r.Reason())
	}
	if cause, ok := network.Cause(err); ok {
		return failure(kind, "check network.subnets in the settings", "%s cannot be reached: %s", b.host, cause)
	}
	if f := b.atProxy(err); f != nil {
		return f
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return failure(kind, "check the backend's url", "%s: the host name cannot be resolved (%s)", b.host, dnsReason(e))
	}
	switch {
	case system.Is(err, syscall.ECONNREFUSED):
		return failure(kind, "is the model server running there?", "%s refuses connections", b.host)
	case isTLS(err):
		cause, remedy := tlsReason(err)
		return failure(kind, remedy, "%s: TLS failed (%s)", b.host, cause)
	}
	reason := dialReason(err)
	if errors.Is(context.Cause(ctx), errTimeout) {
		reason = "no answer in time"
	}
	if b.proxied() { // the proxy was reached, and made no tunnel to the server
		return failure(kind, checkProxy, "%s cannot be reached through its proxy%s (%s)", b.host, b.proxyHost(), reason)
	}
	return failure(kind, howNear, "%s cannot be reached (%s)", b.host, reason)
}

// dnsReason, dialReason and tlsReason describe network errors in our own words, so that they
// cannot quote the server.
func dnsReason(e *net.DNSError) string {
	switch {
	case e.IsNotFound:
		return "no such host"
	case e.IsTimeout:
		return "the name server does not answer"
	}
	return "the name server returned an error"
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

func tlsReason(err error) (cause, remedy string) {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the certificate is for another host name", "write the certificate's host name in the backend's url, or give the server a certificate for this one"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "this machine does not trust the authority that signed the certificate",
			"add that certificate to this machine's authorities (update-ca-certificates), or name a PEM file that has it: the backend's ca_file, or SSL_CERT_FILE in batholith's environment"
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return "the certificate has expired or is not valid yet", "renew the server's certificate, or set this machine's clock"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the certificate is not valid", "give the server a valid certificate"
	}
	return "the server does not speak TLS", "write http:// in the backend's url"
}

// classifyAnswer classifies an error answer: by the error name in its body if it is known,
// otherwise by its status.
func (b *Backend) classifyAnswer(r *refusal) *batholith.Failure {
	kind := r.kind()
	f := &batholith.Failure{Kind: kind, Status: r.status, RetryAfter: r.retryAfter}
	if kind == batholith.FailureBadRecord && (r.status < 400 || r.status >= 500) {
		f.Status = http.StatusBadRequest // the error line of a bad record has code 400 even if the server answered 500 or 200
	}
	f.Message, f.Public, f.Remedy = b.answerTexts(r, kind)
	return f
}

// kind looks at error names first, then at words in the first maxSaid bytes of the message,
// then at the status. A message may quote the record, so words alone lead to kinds that are
// retried. The exception are words about a request that is too large: these end the record.
func (r *refusal) kind() batholith.FailureKind {
	said := strings.ToLower(r.said.Message)
	said = said[:min(len(said), maxSaid)]
	clients := r.inside || r.status >= 400 && r.status < 500 // an error of the client: by its status, or inside a 200
	switch {
	case r.said.names(wrongSetting...), clients && holdsAny(said, wrongSettingWords):
		return batholith.FailureMisconfigured
	case r.inside && strings.Contains(said, "unexpected endpoint"): // LM Studio's equivalent of 404
		return batholith.FailureMisconfigured
	case r.said.names(namedBadRecord...):
		return batholith.FailureBadRecord
	case r.status == http.StatusTooManyRequests && strings.Contains(said, "request too large"): // OpenAI: one request exceeds a minute's quota
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

// wantsTLS are words of servers that were sent plain HTTP on a port for TLS: nginx, Go.
var wantsTLS = []string{"plain http request was sent to https port", "http request to an https server"}

// Names of errors, and words of messages in lower case.
var (
	// wrongSetting are names of errors about the account, the key or the model. Most are
	// OpenAI's, the others of Azure, Moonshot, DashScope and AWS.
	wrongSetting = []string{"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "account_deactivated", "invalid_api_key",
		"model_not_found", "model_not_supported", "DeploymentNotFound", "exceeded_current_quota_error", "Arrearage",
		"AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException", "MissingAuthenticationTokenException", "InvalidClientTokenId", "IncompleteSignature",
		"InvalidSignatureException", "SignatureDoesNotMatch", "ResourceNotFoundException", "UnknownOperationException", "OptInRequired"}
	// wrongSettingWords report the same errors in a message: LiteLLM, OpenRouter, Gemini,
	// Anthropic, Bedrock. nginx and Go's server report a url with http:// where they want TLS.
	wrongSettingWords = []string{wantsTLS[0], wantsTLS[1], "invalid model name", "is not a valid model id", "api key not valid", "incorrect api key", "invalid api key",
		"credit balance is too low", "specified api usage limits", "provided model identifier is invalid", "with on-demand throughput isn", "access to the model with the specified model id"}
	namedBadRecord = []string{"context_length_exceeded", "exceed_context_size_error", "content_policy_violation", "content_filter"}
	// tooLarge are words of answers with a status of 500 or more about a prompt that will never
	// fit. llama.cpp: "input is too large to process. increase the physical batch size", "the
	// request exceeds the available context size".
	tooLarge = []string{"too large to process", "exceeds the available context", "maximum context length", "larger than the max context", "prompt is too long"}
	// noRoom are Groq's (with status 498), Anthropic's and Bedrock's names; Bedrock's quota comes with status 400.
	noRoom = []string{"capacity_exceeded", "overloaded_error", "server_busy", "ThrottlingException", "ModelNotReadyException", "ServiceQuotaExceededException",
		"ServiceUnavailableException", "TooManyRequestsException"}
	// noRoomNow are words of servers that load the model or have no free slot: llama.cpp,
	// Hugging Face, Ollama, KoboldCpp.
	noRoomNow = []string{"loading model", "model is loading", "currently loading", "still loading", "server busy", "server is busy",
		"no slots available", "no slot available", "maximum pending requests", "queue is full"}
	// modelGone are words of servers that unloaded the model during a request: LM Studio,
	// llama.cpp with several models, TabbyAPI. They come as a bad request or as not found. The
	// next request usually loads the model again, so the record is retried.
	modelGone = []string{"model unloaded", "model is unloaded", "failed to load model", "model has crashed", "model crashed", "no model is loaded",
		"no models loaded", "no models are currently loaded", "model is not loaded", "model not loaded", "channel error", "model has unexpectedly stopped"}
)

// kindOf classifies an answer by its status alone.
func kindOf(status int) batholith.FailureKind {
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, 529: // 529: overloaded (Anthropic and compatible servers)
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
	// Other statuses of 4xx, redirects, and 2xx other than 200: the address, the key or the
	// method may be wrong.
	return batholith.FailureMisconfigured
}

// answerTexts returns the two texts of an error answer, and the remedy. Both texts name the
// host, the status and the remedy if one is known. message is for the record and quotes the
// server; public is for everyone else and does not.
func (b *Backend) answerTexts(r *refusal, kind batholith.FailureKind) (message, public, remedy string) {
	// Both texts begin with the host and the status.
	public = fmt.Sprintf("%s answered %d", b.host, r.status)
	if r.inside {
		public = fmt.Sprintf("%s answered 200 with an error inside", b.host)
	}
	if r.said.page {
		public += " with an HTML page"
		if b.proxied() {
			public += ", which may be that of its proxy" + b.proxyHost()
		}
	}
	if r.status >= 300 && r.status < 400 {
		public += ", which redirects elsewhere"
	}
	message = public
	said := plain.Short(b.withoutKey(r.said.Message), maxSaid)
	if said != "" {
		message += ": " + said
	}
	if kind == batholith.FailureMisconfigured {
		remedy = r.remedy(b.ModelName(), b.protocol)
		message, public = message+"; "+remedy, public+"; "+remedy
	}
	if kind == batholith.FailureBadRecord && said != "" && !r.said.page {
		message = said // the error is about the user's record, so the host is left out
	}
	return message, public, remedy
}

// remedy tells the operator how to correct a wrong setting.
func (r *refusal) remedy(model string, p *protocol) string {
	said := strings.ToLower(r.said.Message)
	switch {
	case holdsAny(said, wantsTLS):
		return "write https:// in the backend's url"
	case r.said.names("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "exceeded_current_quota_error", "Arrearage"),
		r.status == http.StatusPaymentRequired, strings.Contains(said, "credit balance"), strings.Contains(said, "api usage limits"):
		return "the account of the API key has no quota left, or not enough for this request; check its billing"
	case r.status == http.StatusProxyAuthRequired:
		return checkProxyLogin
	case r.status == http.StatusUnauthorized, r.said.names("invalid_api_key", "account_deactivated"), strings.Contains(said, "api key"):
		return "check " + p.secret
	case r.status == http.StatusForbidden && r.said.page:
		return "a firewall or proxy in front of the model server may have refused the request; check its rules"
	case r.status == http.StatusForbidden:
		return "check " + p.secret + " and that it may use the model"
	case r.status == http.StatusNotFound, r.said.names("model_not_found", "model_not_supported", "DeploymentNotFound"), strings.Contains(said, "model"):
		return fmt.Sprintf("check that the backend's url is right (%s) and that it serves the model %q", p.ends, model)
	case r.status >= 300 && r.status < 400:
		return "set the backend's url to the address that it redirects to (curl -sI on the url shows it); it may be a login page or a proxy in front of the model server"
	}
	return "check the backend's url and protocol"
}

// retryAfter returns how long the server asks clients to wait, at most maxRetryAfter.
// Retry-After contains seconds or a date (RFC 9110, section 10.2.3); Retry-After-Ms contains
// milliseconds (OpenAI, Azure).
func retryAfter(h http.Header) time.Duration {
	if d, err := time.ParseDuration(strings.TrimSpace(h.Get("Retry-After-Ms")) + "ms"); err == nil {
		return min(max(d, 0), maxRetryAfter)
	}
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	// Seconds first; if that fails it must be an HTTP date.
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

// maxRetryAfter is the longest accepted Retry-After.
const maxRetryAfter = time.Hour

// withoutURL removes the URL from an error of the HTTP client: it may contain a user name and a
// password. Messages name the host instead.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

func holdsAny(s string, parts []string) bool {
	for _, p := range parts {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}
