package runtime

import (
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/batholith/batholith"
)

// Headers of Bedrock's runtime.
const (
	headerTrace            = "X-Amzn-Bedrock-Trace"
	headerGuardrail        = "X-Amzn-Bedrock-GuardrailIdentifier"
	headerGuardrailVersion = "X-Amzn-Bedrock-GuardrailVersion"
	headerLatency          = "X-Amzn-Bedrock-PerformanceConfig-Latency"
	headerTier             = "X-Amzn-Bedrock-Service-Tier"
	headerInputTokens      = "X-Amzn-Bedrock-Input-Token-Count"
	headerOutputTokens     = "X-Amzn-Bedrock-Output-Token-Count"
	headerTook             = "X-Amzn-Bedrock-Invocation-Latency"
)

// headers are what of a request's headers matters.
type headers struct {
	latency bool // a latency was asked for; answered with "standard"
	tier    bool // a service tier was asked for; answered with "default"
}

// choices are the values that a header may have, other than none.
var choices = []struct {
	name   string
	values []string
}{
	{headerTrace, []string{"ENABLED", "DISABLED", "ENABLED_FULL"}},
	{headerLatency, []string{"standard", "optimized"}},
	{headerTier, []string{"priority", "default", "flex", "reserved"}},
}

// readHeaders checks a request's headers:
//
//	Content-Type, Accept      JSON, or nothing in particular
//	Trace                     ignored: it concerns guardrails
//	GuardrailIdentifier       refused: without the guardrail, the answer could have what it should block
//	PerformanceConfig-Latency ignored: every call is answered as fast as it can be
//	Service-Tier              ignored: there is one tier
//	Request-Metadata          ignored: it is for the provider's log of invocations
func readHeaders(r *http.Request, op *operation) (h headers, err error) {
	if sent := r.Header.Get("Content-Type"); sent != "" {
		// SDKs send application/octet-stream when the caller names no type.
		if typ, _, err := mime.ParseMediaType(sent); err != nil || !slices.Contains([]string{"application/json", "application/octet-stream", "application/x-amz-json-1.1"}, typ) {
			return h, validation("The content type %s is not supported. Send application/json.", show(sent))
		}
	}
	if sent := r.Header.Get(op.accept); !accepts(sent) {
		return h, validation("The answer has the type application/json, which the header %s: %s does not accept. Send %[1]s: application/json, or leave the header out.", op.accept, show(sent))
	}
	for _, c := range choices {
		if sent := r.Header.Get(c.name); sent != "" && !slices.Contains(c.values, sent) {
			return h, validation("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must satisfy enum value set: [%s]", show(sent), c.name, strings.Join(c.values, ", "))
		}
	}
	if op.typ == batholith.InvokeModel && (r.Header.Get(headerGuardrail) != "" || r.Header.Get(headerGuardrailVersion) != "") {
		return h, validation("Batholith does not apply guardrails: the answer could contain what the guardrail should block. Leave guardrailIdentifier and guardrailVersion out.")
	}
	return headers{latency: r.Header.Get(headerLatency) != "", tier: r.Header.Get(headerTier) != ""}, nil
}

// accepts reports whether an Accept header takes JSON.
func accepts(sent string) bool {
	if sent == "" {
		return true
	}
	for part := range strings.SplitSeq(sent, ",") {
		typ, _, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err == nil && (typ == "application/json" || typ == "*/*" || typ == "application/*") {
			return true
		}
	}
	return false
}

// reply sets the headers of an answer that belong to those of the request.
func (h headers) reply(to http.Header) {
	if h.latency {
		to.Set(headerLatency, "standard")
	}
	if h.tier {
		to.Set(headerTier, "default")
	}
}
