package dialect

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

// askers are a body of each family whose answer is a text, and how an answer says each of the four ends.
var askers = []struct {
	family, id, body string
	typ              batholith.InvocationType
	text             bool // it goes to /completions
	ends             map[string]string
}{
	{"anthropic", "anthropic.claude-3-haiku-20240307-v1:0", `{"anthropic_version":"bedrock-2023-05-31","max_tokens":5,"messages":[{"role":"user","content":"q"}]}`, batholith.InvokeModel, false,
		map[string]string{endStop: `"stop_reason":"end_turn"`, endLength: `"stop_reason":"max_tokens"`, endFilter: `"stop_reason":"refusal"`}},
	{"anthropic", "anthropic.claude-v2", `{"prompt":"\n\nHuman: q\n\nAssistant:","max_tokens_to_sample":5}`, batholith.InvokeModel, false,
		map[string]string{endStop: `"stop_reason":"stop_sequence"`, endLength: `"stop_reason":"max_tokens","stop":null`, endFilter: `"stop_reason":"stop_sequence"`}},
	{"anthropic", "anthropic.claude-3-haiku-20240307-v1:0", `{"messages":[{"role":"user","content":[{"text":"q"}]}]}`, batholith.Converse, false,
		map[string]string{endStop: `"stopReason":"end_turn"`, endLength: `"stopReason":"max_tokens"`, endFilter: `"stopReason":"content_filtered"`}},
	{"nova", "amazon.nova-lite-v1:0", `{"messages":[{"role":"user","content":[{"text":"q"}]}]}`, batholith.InvokeModel, false,
		map[string]string{endStop: `"stopReason":"end_turn"`, endLength: `"stopReason":"max_tokens"`, endFilter: `"stopReason":"content_filtered"`}},
	{"titan-text", "amazon.titan-text-lite-v1", `{"inputText":"q"}`, batholith.InvokeModel, false,
		map[string]string{endStop: `"FINISH"`, endLength: `"LENGTH"`, endFilter: `"CONTENT_FILTERED"`}},
	{"cohere", "cohere.command-r-v1:0", `{"message":"q"}`, batholith.InvokeModel, false,
		map[string]string{endStop: `"COMPLETE"`, endLength: `"MAX_TOKENS"`, endFilter: `"ERROR_TOXIC"`}},
	{"openai", "qwen.qwen3-32b-v1:0", `{"messages":[{"role":"user","content":"q"}]}`, batholith.InvokeModel, false,
		map[string]string{endStop: `"finish_reason":"stop"`, endLength: `"finish_reason":"length"`, endFilter: `"finish_reason":"content_filter"`}},
	{"gpt-oss", "openai.gpt-oss-20b-1:0", `{"messages":[{"role":"user","content":"q"}]}`, batholith.InvokeModel, false,
		map[string]string{endStop: `"finish_reason":"stop"`, endLength: `"finish_reason":"length"`, endFilter: `"finish_reason":"content_filter"`}},
	{"mistral", "mistral.mistral-large-2407-v1:0", `{"messages":[{"role":"user","content":"q"}]}`, batholith.InvokeModel, false,
		map[string]string{endStop: `"stop_reason":"stop"`, endLength: `"stop_reason":"length"`, endFilter: `"stop_reason":"content_filter"`}},
	{"llama", "meta.llama3-8b-instruct-v1:0", `{"prompt":"q"}`, batholith.InvokeModel, true,
		map[string]string{endStop: `"stop_reason":"stop"`, endLength: `"stop_reason":"length"`, endFilter: `"stop_reason":"stop"`}},
}

// answered is what becomes of an answer with one choice, given as its members. text is put for TEXT: the member that has the words.
func answered(t *testing.T, a int, choice string) (batholith.Answer, error) {
	t.Helper()
	d, err := For(askers[a].family, ProtocolOpenAI, askers[a].typ, Options{Names: []string{askers[a].id}})
	if err != nil {
		t.Fatal(err)
	}
	call, err := d.Request([]byte(askers[a].body), "served")
	if err != nil {
		t.Fatal(err)
	}
	return d.Answer([]byte(askers[a].body), call, fmt.Appendf(nil, `{"id":"c","model":"really-served","choices":[{"index":0,%s}],"usage":{"prompt_tokens":7,"completion_tokens":3}}`, choice))
}

func words(a int, content string) string {
	if askers[a].text {
		return `"text":` + content
	}
	return `"message":{"role":"assistant","content":` + content + `}`
}

// The words of vLLM, SGLang, TGI, TensorRT-LLM, llama.cpp, Ollama, LM Studio, LMDeploy and of the APIs that speak OpenAI's protocol, by what they mean.
var reasons = map[string][]string{
	endStop: {`"stop"`, `"eos"`, `"eos_token"`, `"EOS"`, `"stop_sequence"`, `"end_turn"`, `"COMPLETE"`, `"STOP"`, `"FINISH_REASON_STOP"`, `"Stop"`, `"end-turn"`, `"normal"`, `"eosFound"`,
		`"stopStringFound"`, `"END_ID"`, `"STOP_CRITERIA_MET"`, `{"type":"stop","matched":2}`, `null`, `""`, `"null"`, `"unknown"`, `"FINISH_REASON_UNSPECIFIED"`, `"natural_stop"`, `"tool_calls"`, `"tool_use"`, `"function_call"`},
	endLength: {`"length"`, `"MAX_TOKENS"`, `"max_tokens"`, `"model_length"`, `"max_length"`, `"limit"`, `"token_limit"`, `"maxPredictedTokensReached"`, `"contextLengthReached"`,
		`"model_context_window_exceeded"`, `"REASON_MAX_LEN"`, `"repetition"`, `"max_output_tokens"`, `"FINISH_REASON_MAX_TOKENS"`, `"max_kv_size_reached"`},
	endFilter: {`"content_filter"`, `"SAFETY"`, `"refusal"`, `"RECITATION"`, `"PROHIBITED_CONTENT"`, `"sensitive"`, `"ERROR_TOXIC"`, `"guardrail_intervened"`, `"content_filter: RECITATION"`, `"content-filter"`, `"BLOCKLIST"`},
	"": {`"abort"`, `"ABORT"`, `"aborted"`, `"error"`, `"load"`, `"unload"`, `"cancel"`, `"cancelled"`, `"timeout"`, `"insufficient_system_resource"`, `"network_error"`, `"not_finished"`,
		`"incomplete"`, `"MALFORMED_FUNCTION_CALL"`, `"OTHER"`, `"FINISH_REASON_OTHER"`, `"userStopped"`, `"modelUnloaded"`, `"USER_CANCEL"`, `"preempted"`, `"{\"type\":\"abort\"}"`, `{"type":"abort"}`,
		`"upstream_error"`, `"request_cancelled_by_engine"`, `"perhaps"`, `3`},
}

// A 200 is an answer only if it is a whole one. What the servers' words for the end of an answer mean is one table, for all families; a word that says
// that something broke off, or that nobody knows, fails the attempt.
func TestOnlyWholeAnswersCount(t *testing.T) {
	for a, f := range askers {
		for end, words1 := range reasons {
			for _, reason := range words1 {
				got, err := answered(t, a, words(a, `"An answer"`)+`,"finish_reason":`+reason)
				if end == "" {
					failure, ok := errors.AsType[*batholith.Failure](err)
					if !ok || failure.Kind != batholith.FailureRetry || failure.Public == "" {
						t.Errorf("%s: finish_reason %s is %s, %v; want a failure of the attempt", f.id, reason, got.Output, err)
					}
					continue
				}
				if err != nil || !strings.Contains(string(got.Output), "An answer") || !strings.Contains(string(got.Output), f.ends[end]) {
					t.Errorf("%s: finish_reason %s is %s, %v; want %s", f.id, reason, got.Output, err, f.ends[end])
				}
				if got.Model != "really-served" {
					t.Errorf("%s: the model that answered is %q", f.id, got.Model)
				}
			}
		}
	}
}

// An answer without a word, a thought or a call is none, unless its end says why there is nothing.
func TestAnAnswerOfNothingFailsTheAttempt(t *testing.T) {
	for a, f := range askers {
		for _, c := range []struct {
			content, finish string
			fails           bool
		}{
			{`null`, `"stop"`, true}, {`null`, `null`, true}, {`""`, `null`, true}, {`null`, `"tool_calls"`, true}, {`""`, `"load"`, true}, {`null`, `""`, true},
			{`""`, `"stop"`, false}, {`""`, `"length"`, false}, {`null`, `"length"`, false}, {`null`, `"content_filter"`, false},
		} {
			got, err := answered(t, a, words(a, c.content)+`,"finish_reason":`+c.finish)
			if failure, ok := errors.AsType[*batholith.Failure](err); ok != c.fails || ok && failure.Kind != batholith.FailureRetry {
				t.Errorf("%s: content %s with finish_reason %s is %s, %v", f.id, c.content, c.finish, got.Output, err)
			}
		}
	}
}

// Whose fault an error within an answer is, its code says.
func TestAnErrorWithinAnAnswerKeepsItsKindAndWords(t *testing.T) {
	for code, kind := range map[string]batholith.FailureKind{`502`: batholith.FailureRetry, `"502"`: batholith.FailureRetry, `429`: batholith.FailureBackPressure, `503`: batholith.FailureBackPressure,
		`400`: batholith.FailureBadRecord, `"server_error"`: batholith.FailureRetry, `null`: batholith.FailureRetry} {
		for a, f := range askers {
			for _, place := range []string{`"finish_reason":"error","error":{"code":%s,"message":"Upstream broke down"}`, `"finish_reason":"stop","error":{"code":%s,"message":"Upstream broke down"}`} {
				_, err := answered(t, a, words(a, `"An ans"`)+`,`+fmt.Sprintf(place, code))
				failure, ok := errors.AsType[*batholith.Failure](err)
				if !ok || failure.Kind != kind || !strings.Contains(failure.Message, "Upstream broke down") || strings.Contains(failure.Public, "Upstream") {
					t.Errorf("%s: an error of code %s is %v", f.id, code, err)
				}
			}
		}
	}
}

// Some servers have the member for an error in every answer, and what they write for none differs.
func TestAnEmptyErrorBesideAnAnswerIsNone(t *testing.T) {
	for a, f := range askers {
		for _, empty := range []string{`null`, `""`, `{}`, `[]`, `[ ]`, `false`, `{"message":"","type":"","param":null,"code":0}`} {
			for _, place := range []string{`"finish_reason":"stop","error":%s`, `"finish_reason":"stop"}],"error":%s,"more":[{`} {
				got, err := answered(t, a, words(a, `"An answer"`)+`,`+fmt.Sprintf(place, empty))
				if err != nil || !strings.Contains(string(got.Output), "An answer") {
					t.Errorf("%s: with the error %s the answer is %s, %v", f.id, empty, got.Output, err)
				}
			}
		}
	}
}

// The words of a refusal are the answer's, and its end is the family's own for one.
func TestARefusalKeepsItsWords(t *testing.T) {
	for a, f := range askers {
		if f.text {
			continue
		}
		for _, message := range []string{`{"role":"assistant","content":null,"refusal":"I can't."}`, `{"role":"assistant","refusal":"I can't."}`, `{"role":"assistant","content":"","refusal":"I can't."}`,
			`{"role":"assistant","content":[{"type":"refusal","refusal":"I can't."}]}`} {
			got, err := answered(t, a, `"message":`+message+`,"finish_reason":"stop"`)
			want := f.ends[endFilter]
			if f.family == "openai" || f.family == "gpt-oss" || f.family == "mistral" { // as OpenAI has it: an end like others, and a member "refusal"
				want = `"content":"I can't."`
			}
			if err != nil || !strings.Contains(string(got.Output), "I can't.") || !strings.Contains(string(got.Output), want) {
				t.Errorf("%s: the refusal %s is %s, %v", f.id, message, got.Output, err)
			}
		}
	}
}
