package dialect

import (
	"net/http"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/plain"
)

// Reasons why an answer ended, in OpenAI's words. Every word of a server is mapped to one of
// these, or fails the attempt.
const (
	endStop   = "stop"           // the model ended its turn, or a stop sequence was met
	endLength = "length"         // max_tokens or the context is reached: the text is cut, as requested
	endTools  = "tool_calls"     // the model calls tools
	endFilter = "content_filter" // the model refused, or a filter removed text

	endBroken = "broken" // internal: the answer is incomplete or missing, so the attempt failed
)

// endings maps servers' words, in the form that bare returns, to these reasons.
var endings = spelled(endWords)

// spelled builds the table.
func spelled(lists map[string]string) map[string]string {
	table := map[string]string{}
	for meaning, words := range lists {
		for _, w := range strings.Fields(words) {
			table[bare(w)] = meaning
		}
	}
	return table
}

// endWords lists servers' words by reason.
var endWords = map[string]string{
	endBroken: brokenWords,
	// OpenAI; Hugging Face TGI, IBM watsonx; Anthropic; Cohere; Together; LM Studio;
	// TensorRT-LLM; Titan; Gemini; ERNIE; xAI; TabbyAPI; llama.cpp
	endStop: `stop eos_token eos stop_sequence end_turn stop_sequences COMPLETE completed done finish finished eosFound stopStringFound END_ID STOP_WORDS
			STOP_CRITERIA_MET normal REASON_STOP stop_string stop_str word end end_of_turn end_of_text endoftext end_of_sequence eot eog stop_token
			stopped success succeeded ended pause_turn stop_words stop_word eos_found recover_stop`,
	// OpenAI; Mistral; Gemini, Anthropic, Cohere; vLLM's detection of repetitions; LM Studio;
	// llama.cpp; xAI; watsonx; Reka; Bedrock
	endLength: `length model_length max_tokens max_length max_output_tokens max_new_tokens max_completion_tokens token_limit tokens_limit limit
			model_context_window_exceeded context_window_exceeded context_length context_length_exceeded context_length_reached contextLengthReached context
			maxPredictedTokensReached REASON_MAX_LEN REASON_MAX_CONTEXT repetition ERROR_LIMIT length_limit truncated max_tokens_reached length_capped`,
	// OpenAI, today and before; Anthropic; Cohere; LM Studio; xAI
	endTools: `tool_calls function_call tool_call tool_use function_calls toolCalls REASON_TOOL_CALLS tool tools TOO_MANY_TOOL_CALLS custom_tool_call`,
	// OpenAI, Azure; Anthropic; Gemini; Cohere; Zhipu; Bedrock; TabbyAPI; DashScope
	endFilter: `content_filter content_filtered refusal refused SAFETY RECITATION LANGUAGE BLOCKLIST PROHIBITED_CONTENT SPII IMAGE_SAFETY IMAGE_PROHIBITED_CONTENT
			IMAGE_RECITATION MODEL_ARMOR ERROR_TOXIC sensitive guardrail_intervened guardrail guardrails filter filtered moderation flagged policy
			content_policy content_policy_violation data_inspection_failed blocked`,
}

// Words for an incomplete answer: vLLM, SGLang; Mistral, OpenRouter; Ollama; TensorRT-LLM;
// DeepSeek; Zhipu; Cohere; watsonx; LM Studio; LMDeploy; Gemini; xAI.
const brokenWords = `abort aborted error errored load unload loading unloaded cancel canceled cancelled timeout timed_out time_limit
	insufficient_system_resource network_error ERROR USER_CANCEL not_finished unfinished incomplete in_progress failed failure userStopped modelUnloaded
	MALFORMED_FUNCTION_CALL MALFORMED_RESPONSE UNEXPECTED_TOOL_CALL MISSING_THOUGHT_SIGNATURE OTHER IMAGE_OTHER NO_IMAGE REASON_INVALID REASON_TIME_LIMIT
	rejected suspend suspended preempted interrupted disconnected disconnect shutdown killed resource_exhausted rate_limit rate_limit_exceeded overloaded
	internal_error server_error application_error exception oom out_of_memory deadline_exceeded engine_error dropped evicted`

// untoldEndings are words for "no reason". The content of the answer then decides.
var untoldEndings = map[string]bool{"": true, "null": true, "none": true, "unknown": true, "unspecified": true, "undefined": true, "nil": true, "na": true}

// Parts of words, for words that are in no table. Parts that mean a failure are searched first.
var (
	brokenParts = []string{"abort", "error", "fail", "cancel", "timeout", "timedout", "interrupt", "incomplete", "unfinished", "notfinished", "disconnect",
		"network", "resource", "overload", "unload", "crash", "kill", "malformed", "invalid", "reject", "exception", "deadline", "preempt", "shutdown", "lost"}
	endingParts = []struct{ part, end string }{{"filter", endFilter}, {"safety", endFilter}, {"prohibit", endFilter}, {"refus", endFilter}, {"block", endFilter},
		{"guard", endFilter}, {"polic", endFilter}, {"sensitive", endFilter}, {"moderat", endFilter}, {"tool", endTools}, {"function", endTools},
		{"length", endLength}, {"max", endLength}, {"limit", endLength}, {"exceed", endLength}, {"truncat", endLength}, {"repeti", endLength},
		{"stop", endStop}, {"eos", endStop}, {"end", endStop}, {"complete", endStop}, {"finish", endStop}, {"done", endStop}}
)

// bare returns a word in lower case without punctuation and Gemini's prefix:
// "FINISH_REASON_MAX_TOKENS" and "max-tokens" both become "maxtokens".
func bare(word string) string {
	b := make([]byte, 0, len(word))
	for i := range len(word) {
		switch c := word[i]; {
		case c >= 'A' && c <= 'Z':
			b = append(b, c+'a'-'A')
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c >= 0x80:
			b = append(b, c)
		}
	}
	return strings.TrimPrefix(string(b), "finishreason")
}

// endOf returns a finish_reason in OpenAI's words, or "" if the server gives none. broken means
// that the word stands for an incomplete answer or is not understood: half an answer must not
// count as complete.
func endOf(finish value) (end string, broken bool) {
	if finish.kind() == '{' { // SGLang: {"type":"stop","matched":…}
		finish = finish.member("type")
	}
	if finish.kind() == '0' {
		return "", true // a number whose meaning only the server knows
	}
	word := finish.text()
	switch word { // nearly all answers
	case endStop, endLength, endTools, endFilter:
		return word, false
	}
	word = bare(word)
	switch end := endings[word]; {
	case end == endBroken:
		return "", true
	case end != "":
		return end, false
	case untoldEndings[word]:
		return "", false
	}
	for _, p := range brokenParts {
		if strings.Contains(word, p) {
			return "", true
		}
	}
	for _, p := range endingParts {
		if strings.Contains(word, p.part) {
			return p.end, false
		}
	}
	return "", true
}

// endWith returns why an answer with so many tool calls ended. Some servers say nothing, or call
// the end of a turn with calls a stop.
func endWith(calls int, finish string) string {
	switch {
	case calls > 0 && (finish == endStop || finish == ""):
		return endTools
	case finish == "":
		return endStop
	}
	return finish
}

// brokenOff is the failure of an attempt with an incomplete answer.
func brokenOff(finish value) error {
	word := finish.text()
	if word == "" {
		word = string(finish)
	}
	return &batholith.Failure{Kind: batholith.FailureRetry, Status: http.StatusOK, Sent: true,
		Message: "the model server's answer is not whole: its finish_reason is " + plain.Short(word, 60), Public: "its answers break off before their end"}
}

// nothingSaid is the failure of an attempt with an empty answer.
func nothingSaid() error {
	return &batholith.Failure{Kind: batholith.FailureRetry, Status: http.StatusOK, Sent: true,
		Message: "the model server's answer is empty: it has no text, no thought and no tool call", Public: "its answers are empty"}
}

// errorWithin is the failure of an attempt whose 200 answer contains an error. Routers put the
// status of the server behind them into the error's code (OpenRouter), and it tells who is at
// fault.
func errorWithin(e value) error {
	f := &batholith.Failure{Kind: batholith.FailureRetry, Status: http.StatusOK, Sent: true, Public: "its answers have errors in them"}
	code, ok := e.member("code").integer()
	if !ok {
		code, _ = value(e.member("code").text()).integer()
	}
	switch code {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, 529:
		f.Kind = batholith.FailureBackPressure
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity, http.StatusUnavailableForLegalReasons:
		f.Kind = batholith.FailureBadRecord
	}
	if code >= 400 && code <= 599 {
		f.Status = int(code)
	}
	f.Message = "the model server's answer is an error: " + plain.Short(errorText(e), 300)
	return f
}
