package upstream_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/upstream"
	"github.com/batholith/batholith/internal/upstream/upstreamtest"
)

const (
	retry       = batholith.FailureRetry
	pressure    = batholith.FailureBackPressure
	badRecord   = batholith.FailureBadRecord
	wrongConfig = batholith.FailureMisconfigured
)

const claudeRecord = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]}`

// bearing tells whether a request has the bearer key.
func bearing(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer k3y-secret" }

func TestOpenAIKeepsTheLawsOfProtocols(t *testing.T) {
	answer := func(message, finish string) string {
		return `{"id":"1","model":"served","choices":[{"index":0,"message":` + message + `,"finish_reason":"` + finish + `"}],"usage":{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}}`
	}
	upstreamtest.Run(t, upstreamtest.Protocol{
		Options: upstream.Options{Protocol: "openai", APIKey: "k3y-secret"}, Family: "anthropic", Type: batholith.InvokeModel, Record: claudeRecord,
		Path: "/chat/completions", Keyed: bearing,
		Good: answer(`{"content":"Hi"}`, "stop"), Tokens: batholith.Tokens{Input: 7, Output: 2, CacheRead: 4},
		Cut:     upstreamtest.Answer{Body: answer(`{"content":"H"}`, "length"), Want: `"stop_reason":"max_tokens"`},
		Refusal: upstreamtest.Answer{Body: answer(`{"refusal":"no"}`, "stop"), Want: `"stop_reason":"refusal"`},
		Call: upstreamtest.Answer{Body: answer(`{"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]}`, "tool_calls"),
			Want: `"name":"f","input":{"a":1}`},
		Broken: map[string]batholith.FailureKind{
			answer(`{"content":"H"}`, "abort"):     retry,
			answer(`{"content":null}`, "stop"):     retry,
			`{"error":{"message":"m","code":429}}`: pressure,
		},
		Errors: []upstreamtest.Error{
			{Status: 400, Body: `{"error":{"message":"pr0mpt","type":"invalid_request_error"}}`, Kind: badRecord},
			{Status: 404, Body: `{"error":{"message":"no model","code":"model_not_found"}}`, Kind: wrongConfig, Remedy: "ends in /v1"},
			{Status: 429, Headers: map[string]string{"Retry-After": "7"}, Body: `{}`, Kind: pressure, Wait: 7 * time.Second},
			{Status: 500, Body: `pr0mpt`, Kind: retry},
			{Status: 503, Body: `{}`, Kind: pressure},
		},
		List: `{"data":[{"id":"served:1"}]}`, ListPath: "/models",
	})
}

// messages is an answer of the Messages API.
func messages(content, stop string) string {
	return `{"id":"1","type":"message","role":"assistant","model":"served","content":` + content + `,"stop_reason":` + stop +
		`,"stop_sequence":null,"usage":{"input_tokens":3,"cache_read_input_tokens":4,"cache_creation_input_tokens":1,"output_tokens":2}}`
}

// anthropicProtocol are the answers of the Messages API, whatever the records.
func anthropicProtocol() upstreamtest.Protocol {
	return upstreamtest.Protocol{
		Options: upstream.Options{Protocol: "anthropic", APIKey: "k3y-secret"}, Type: batholith.InvokeModel, Path: "/messages",
		Keyed: func(r *http.Request) bool {
			return bearing(r) && r.Header.Get("X-Api-Key") == "k3y-secret" && r.Header.Get("Anthropic-Version") == "2023-06-01"
		},
		Good: messages(`[{"type":"text","text":"Hi"}]`, `"end_turn"`), Tokens: batholith.Tokens{Input: 8, Output: 2, CacheRead: 4, CacheWrite: 1},
		Broken: map[string]batholith.FailureKind{
			messages(`[{"type":"text","text":"H"}]`, `"abort"`):                           retry,
			messages(`[]`, `null`):                                                        retry,
			`{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`: pressure,
			`{"type":"error","error":{"type":"rate_limit_error","message":"slower"}}`:     pressure,
		},
		Errors: []upstreamtest.Error{
			{Status: 400, Body: `{"type":"error","error":{"type":"invalid_request_error","message":"pr0mpt is too long: 9 tokens > 8 maximum"}}`, Kind: badRecord},
			{Status: 400, Body: `{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}`, Kind: wrongConfig, Remedy: "billing"},
			{Status: 400, Body: `{"type":"error","error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits. You will regain access on 2026-12-01."}}`, Kind: wrongConfig, Remedy: "quota"},
			{Status: 404, Body: `{"type":"error","error":{"type":"not_found_error","message":"model: served"}}`, Kind: wrongConfig, Remedy: "protocol anthropic ends in /v1"},
			{Status: 413, Body: `{"type":"error","error":{"type":"request_too_large","message":"too large"}}`, Kind: badRecord},
			{Status: 429, Headers: map[string]string{"Retry-After": "7"}, Body: `{"type":"error","error":{"type":"rate_limit_error","message":"slower"}}`, Kind: pressure, Wait: 7 * time.Second},
			{Status: 500, Body: `{"type":"error","error":{"type":"api_error","message":"pr0mpt"}}`, Kind: retry},
			{Status: 529, Headers: map[string]string{"Retry-After": "2"}, Body: `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, Kind: pressure, Wait: 2 * time.Second},
			{Status: 400, Body: `{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}`, Kind: badRecord}, // llama.cpp
			{Status: 503, Body: `{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}`, Kind: pressure},
		},
		List: `{"data":[{"type":"model","id":"served:1","display_name":"S"}],"has_more":false}`, ListPath: "/models?limit=1000",
	}
}

func TestTheMessagesAPIKeepsTheLawsOfProtocols(t *testing.T) {
	for family, p := range map[string]struct {
		typ                        batholith.InvocationType
		record, cut, refusal, call string
	}{
		"anthropic": {batholith.InvokeModel, claudeRecord, `"stop_reason":"max_tokens"`, `"stop_reason":"refusal"`, `"name":"f","input":{"a":1}`},
		"openai":    {batholith.InvokeModel, `{"messages":[{"role":"user","content":"Hello"}]}`, `"finish_reason":"length"`, `"finish_reason":"content_filter"`, `"arguments":"{\"a\":1}"`},
		"nova":      {batholith.Converse, `{"messages":[{"role":"user","content":[{"text":"Hello"}]}]}`, `"stopReason":"max_tokens"`, `"stopReason":"content_filtered"`, `"input":{"a":1}`},
	} {
		t.Run(family, func(t *testing.T) {
			s := anthropicProtocol()
			s.Family, s.Type, s.Record = family, p.typ, p.record
			s.Cut = upstreamtest.Answer{Body: messages(`[{"type":"text","text":"H"}]`, `"max_tokens"`), Want: p.cut}
			s.Refusal = upstreamtest.Answer{Body: messages(`[{"type":"text","text":"no"}]`, `"refusal"`), Want: p.refusal}
			s.Call = upstreamtest.Answer{Body: messages(`[{"type":"tool_use","id":"1","name":"f","input":{"a":1}}]`, `"tool_use"`), Want: p.call}
			upstreamtest.Run(t, s)
		})
	}
}

// signed tells whether a request has a signature of Version 4 for Bedrock.
func signed(r *http.Request) bool {
	got := r.Header.Get("Authorization")
	return strings.HasPrefix(got, "AWS4-HMAC-SHA256 Credential=AKID/") && strings.Contains(got, "/eu-west-1/bedrock/aws4_request") &&
		strings.Contains(got, "host") && r.Header.Get("X-Amz-Security-Token") == "t0ken"
}

// bedrockProtocol are the errors of Bedrock's runtime.
func bedrockProtocol() upstreamtest.Protocol {
	typed := func(name string) map[string]string {
		return map[string]string{"X-Amzn-ErrorType": name + ":http://internal.amazon.com/coral/com.amazon.bedrock/"}
	}
	return upstreamtest.Protocol{
		Options: upstream.Options{Protocol: "bedrock", AWS: upstream.AWS{Region: "eu-west-1", AccessKeyID: "AKID", SecretAccessKey: "s3cret-key", SessionToken: "t0ken"}},
		Keyed:   signed,
		Errors: []upstreamtest.Error{
			{Status: 429, Headers: typed("ThrottlingException"), Body: `{"message":"Too many requests"}`, Kind: pressure},
			{Status: 429, Headers: map[string]string{"Retry-After": "3"}, Body: `{"__type":"com.amazon.bedrock#ModelNotReadyException","message":"wait"}`, Kind: pressure, Wait: 3 * time.Second},
			{Status: 400, Headers: typed("ServiceQuotaExceededException"), Body: `{"message":"quota"}`, Kind: pressure},
			{Status: 503, Headers: typed("ServiceUnavailableException"), Body: `{"message":"later"}`, Kind: pressure},
			{Status: 408, Headers: typed("ModelTimeoutException"), Body: `{"message":"slow"}`, Kind: retry},
			{Status: 424, Headers: typed("ModelErrorException"), Body: `{"message":"pr0mpt","originalStatusCode":500}`, Kind: retry},
			{Status: 500, Headers: typed("InternalServerException"), Body: `{"message":"pr0mpt"}`, Kind: retry},
			{Status: 400, Headers: typed("ValidationException"), Body: `{"message":"pr0mpt: Input is too long for requested model."}`, Kind: badRecord},
			{Status: 400, Headers: typed("ValidationException"), Body: `{"message":"The provided model identifier is invalid."}`, Kind: wrongConfig, Remedy: "serves the model"},
			{Status: 400, Headers: typed("ValidationException"), Body: `{"message":"Invocation of model ID m with on-demand throughput isn’t supported."}`, Kind: wrongConfig, Remedy: "serves the model"},
			{Status: 403, Headers: typed("AccessDeniedException"), Body: `{"Message":"You don't have access to the model with the specified model ID."}`, Kind: wrongConfig, Remedy: "AWS keys"},
			{Status: 403, Headers: typed("UnrecognizedClientException"), Body: `{"message":"The security token included in the request is invalid."}`, Kind: wrongConfig, Remedy: "AWS keys"},
			{Status: 404, Headers: typed("ResourceNotFoundException"), Body: `{"message":"no model"}`, Kind: wrongConfig, Remedy: "bedrock-runtime"},
		},
	}
}

func TestBedrocksRuntimeKeepsTheLawsOfProtocols(t *testing.T) {
	t.Run("InvokeModel", func(t *testing.T) {
		p := bedrockProtocol()
		p.Family, p.Type, p.Record, p.Path = "mistral", batholith.InvokeModel, `{"prompt":"<s>[INST] Hello [/INST]","max_tokens":9}`, "/model/served%3A1/invoke"
		p.Good, p.Tokens = `{"outputs":[{"text":"Hi","stop_reason":"stop"}]}`, batholith.Tokens{Input: 7, Output: 2}
		p.Headers = map[string]string{"X-Amzn-Bedrock-Input-Token-Count": "7", "X-Amzn-Bedrock-Output-Token-Count": "2"}
		p.Cut = upstreamtest.Answer{Body: `{"outputs":[{"text":"H","stop_reason":"length"}]}`, Want: `{"outputs":[{"text":"H","stop_reason":"length"}]}`}
		upstreamtest.Run(t, p)
	})
	t.Run("Converse", func(t *testing.T) {
		answer := func(content, stop string) string {
			return `{"metrics":{"latencyMs":1},"output":{"message":{"role":"assistant","content":` + content + `}},"stopReason":"` + stop +
				`","usage":{"inputTokens":3,"outputTokens":2,"totalTokens":10,"cacheReadInputTokens":4,"cacheWriteInputTokens":1}}`
		}
		p := bedrockProtocol()
		p.Family, p.Type, p.Record, p.Path = "anthropic", batholith.Converse, `{"messages":[{"role":"user","content":[{"text":"Hello"}]}]}`, "/model/served%3A1/converse"
		p.Good, p.Tokens = answer(`[{"text":"Hi"}]`, "end_turn"), batholith.Tokens{Input: 8, Output: 2, CacheRead: 4, CacheWrite: 1}
		p.Cut = upstreamtest.Answer{Body: answer(`[{"text":"H"}]`, "max_tokens"), Want: `"stopReason":"max_tokens"`}
		p.Refusal = upstreamtest.Answer{Body: answer(`[{"text":"no"}]`, "guardrail_intervened"), Want: `"stopReason":"guardrail_intervened"`}
		p.Call = upstreamtest.Answer{Body: answer(`[{"toolUse":{"toolUseId":"1","name":"f","input":{"a":1}}}]`, "tool_use"), Want: `"input":{"a":1}`}
		upstreamtest.Run(t, p)
	})
}
