package runtime

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/plain"
)

// operation is one operation of the runtime.
type operation struct {
	name    string
	method  string
	before  string // the path is before + model + after; without a model, before is the whole path
	after   string
	action  string // action that a policy must permit on the model; "": none
	typ     batholith.InvocationType
	most    int64  // maximum bytes of a body
	accept  string // header with the content type that the client accepts
	refuses string // why the operation is not available here; "": it is available
	named   bool   // the body names the model: see call.named
	lists   bool   // it concerns no single model
	run     func(h *handler, c *call, w http.ResponseWriter) error
}

// Actions of policies.
const (
	actionInvoke = "bedrock:InvokeModel"
	actionStream = "bedrock:InvokeModelWithResponseStream"
	actionCount  = "bedrock:CountTokens"
)

// operations lists the operations. Those that are not available answer a refusal that names the remedy.
var operations = []*operation{
	{name: "InvokeModel", method: http.MethodPost, before: "/model/", after: "/invoke", action: actionInvoke, typ: batholith.InvokeModel,
		most: MaxBody, accept: "Accept", run: (*handler).invoke},
	{name: "Converse", method: http.MethodPost, before: "/model/", after: "/converse", action: actionInvoke, typ: batholith.Converse,
		most: MaxBody, accept: "Accept", run: (*handler).converse},
	{name: "InvokeModelWithResponseStream", method: http.MethodPost, before: "/model/", after: "/invoke-with-response-stream", action: actionStream, typ: batholith.InvokeModel,
		most: MaxBody, accept: "X-Amzn-Bedrock-Accept", run: (*handler).invokeStream},
	{name: "ConverseStream", method: http.MethodPost, before: "/model/", after: "/converse-stream", action: actionStream, typ: batholith.Converse,
		most: MaxBody, run: (*handler).converseStream},
	{name: "CountTokens", method: http.MethodPost, before: "/model/", after: "/count-tokens", action: actionCount,
		most: maxCountBody, accept: "Accept", run: (*handler).count},
	{name: "InvokeModelWithBidirectionalStream", method: http.MethodPost, before: "/model/", after: "/invoke-with-bidirectional-stream", action: actionStream,
		most: 0, refuses: "Batholith has no speech models, so InvokeModelWithBidirectionalStream is not available. Use ConverseStream or InvokeModelWithResponseStream."},
	{name: "ApplyGuardrail", method: http.MethodPost, before: "/guardrail/", after: "/apply", most: MaxBody,
		refuses: "Batholith has no guardrails, so ApplyGuardrail is not available. Call a moderation model, or use Amazon Bedrock."},
	{name: "InvokeGuardrailChecks", method: http.MethodPost, before: "/guardrail-checks", most: MaxBody,
		refuses: "Batholith has no guardrails, so InvokeGuardrailChecks is not available. Call a moderation model, or use Amazon Bedrock."},
	{name: "StartAsyncInvoke", method: http.MethodPost, before: "/async-invoke", most: MaxBody,
		refuses: "StartAsyncInvoke is for video models, which Batholith does not serve. For many prompts create a batch job (CreateModelInvocationJob)."},
	{name: "GetAsyncInvoke", method: http.MethodGet, before: "/async-invoke/",
		refuses: "There are no asynchronous calls here. For many prompts create a batch job (CreateModelInvocationJob), and read it with GetModelInvocationJob."},
	{name: "ListAsyncInvokes", method: http.MethodGet, before: "/async-invoke",
		refuses: "There are no asynchronous calls here. For many prompts create a batch job (CreateModelInvocationJob), and list jobs with ListModelInvocationJobs."},
	{name: "ChatCompletions", method: http.MethodPost, before: "/openai/v1/chat/completions", action: actionInvoke, typ: dialect.ChatCompletions, most: MaxBody, named: true, run: (*handler).answer},
	{name: "Responses", method: http.MethodPost, before: "/openai/v1/responses", action: actionInvoke, typ: dialect.Responses, most: MaxBody, named: true, run: (*handler).answer},
	{name: "OpenAIModels", method: http.MethodGet, before: "/openai/v1/models", action: actionInvoke, lists: true, run: (*handler).listOpenAI},
	{name: "OpenAIModel", method: http.MethodGet, before: "/openai/v1/models/", action: actionInvoke, run: (*handler).describeOpenAI},
	{name: "Messages", method: http.MethodPost, before: "/anthropic/v1/messages", action: actionInvoke, typ: dialect.Messages, most: MaxBody, named: true, run: (*handler).answer},
	{name: "CountMessageTokens", method: http.MethodPost, before: "/anthropic/v1/messages/count_tokens", action: actionCount, typ: dialect.Messages, most: MaxBody, named: true,
		run: (*handler).countMessages},
	{name: "AnthropicModels", method: http.MethodGet, before: "/anthropic/v1/models", action: actionInvoke, lists: true, run: (*handler).listAnthropic},
}

// Serves reports whether an operation is available here.
func Serves(name string) bool {
	return slices.ContainsFunc(operations, func(o *operation) bool { return o.name == name && o.refuses == "" })
}

// Is reports whether a request is for the runtime and not for the control plane.
func Is(r *http.Request) bool {
	path := r.URL.EscapedPath()
	for _, prefix := range []string{"/model/", "/guardrail/", "/guardrail-checks", "/async-invoke", openAI.prefix, anthropic.prefix} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// match extracts the model from a raw path. SDKs send an ARN as one percent-encoded segment; an ARN with unescaped slashes is accepted too, because
// people type it this way.
func (op *operation) match(path string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(path, op.before)
	if !ok {
		return "", false
	}
	if !strings.HasSuffix(op.before, "/") {
		return "", rest == ""
	}
	name, ok = strings.CutSuffix(rest, op.after)
	return name, ok && name != ""
}

// find returns the operation of a request, and the model's name without percent-encoding.
func find(r *http.Request) (op *operation, name string, err error) {
	path := r.URL.EscapedPath()
	for _, op := range operations {
		raw, ok := op.match(path)
		if !ok || op.method != r.Method {
			continue
		}
		if name, err = url.PathUnescape(raw); err != nil {
			return nil, "", validation("The path is not valid percent-encoding. Write a percent sign as %%25.")
		}
		return op, name, nil
	}
	return nil, "", &Error{Code: bedrock.CodeUnknownOperation, Message: "There is no operation at " + show(r.Method) + " " + show(path) + "."}
}

// show makes a client's text safe and short for a message.
func show(text string) string { return plain.Short(text, 200) }
