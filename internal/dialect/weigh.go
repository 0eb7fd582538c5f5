package dialect

import "bytes"

// Weight is the estimated cost of a body.
type Weight struct {
	Text   int64  // bytes of text that the model reads, as UTF-8
	Turns  int64  // turns of the conversation, the system prompt among them; at least 1
	Tokens Tokens // estimate of the input tokens: the text and the chat template
	Most   int64  // maximum number of output tokens; 0: the body has no limit
}

// Weigh estimates the cost of a body of any family from its member names. It reads the body
// once and ignores nesting. input must be valid JSON, but need not be valid for a model.
func Weigh(input []byte) (w Weight) {
	v := value(input)
	defer w.addTemplate()
	var of member // the last member name; elements of an array belong to the array's name
	for i := 0; i < len(v); {
		n := bytes.IndexByte(v[i:], '"')
		if n < 0 {
			break
		}
		i += n
		end := skip(v, i)
		text := v[i:end] // a string: a member's name if a colon follows, otherwise a value
		i = space(v, end)
		if i == len(v) || v[i] != ':' {
			if of != silentMember && of != turnMember && len(text) >= len(`""`) {
				w.weighText(text[1 : len(text)-1])
			}
			continue
		}
		// It applies to all strings up to the next name.
		of = memberOf(text)
		i = space(v, i+1)
		switch of {
		case limitMember:
			w.Most = max(w.Most, tokenLimit(v[i:skip(v, i)]))
		case turnMember, systemMember:
			w.Turns++
		case otherMember: // of a tool's schema, which the model reads as well
			w.Tokens.Most += int64(len(text)) * int64(markRate[2])
		}
	}
	return w
}

// addTemplate adds what a chat template puts around the turns.
func (w *Weight) addTemplate() {
	w.Turns = max(w.Turns, 1)
	w.Tokens = w.Tokens.Add(bodyTokens)
	w.Tokens = w.Tokens.Add(Tokens{w.Turns * turnTokens.Least, w.Turns * turnTokens.Likely, w.Turns * turnTokens.Most})
}

// member classifies a member for Weigh.
type member int

const (
	otherMember  member = iota // its strings are text for the model, and its name may be: tool schemas
	textMember                 // its strings are text for the model
	silentMember               // its strings are identifiers or media, not text
	limitMember                // limit of output tokens
	turnMember                 // role of a turn
	systemMember               // system prompt
)

// memberOf classifies a member by its name as written, with quotes. The switch does not
// allocate.
func memberOf(name value) member {
	if len(name) < len(`""`) {
		return otherMember
	}
	switch string(name[1 : len(name)-1]) {
	case "type", "anthropic_version", "anthropic_beta", "data", "bytes", "url", "uri", "format", "media_type", "detail", "id",
		"tool_use_id", "tool_call_id", "toolUseId", "model", "schemaVersion", "signature", "stop", "stop_sequences", "stopSequences", "input_type",
		"truncate", "embedding_types", "embeddingTypes", "encoding_format", "reasoning_effort", "service_tier", "latency", "image", "images":
		return silentMember
	case "max_tokens", "max_completion_tokens", "maxTokens", "max_new_tokens", "max_gen_len", "maxTokenCount", "max_tokens_to_sample":
		return limitMember
	case "role":
		return turnMember
	case "system":
		return systemMember
	case "messages", "content", "text", "prompt", "inputText", "message", "texts", "inputs", "value", "temperature", "top_p", "topP", "top_k", "topK",
		"inferenceConfig", "textGenerationConfig", "dimensions", "seed":
		return textMember
	}
	return otherMember
}
