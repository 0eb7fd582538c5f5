package dialect

import "bytes"

// Weight is the estimated cost of a body.
type Weight struct {
	Text int64 // bytes of text that the model reads
	Most int64 // maximum number of output tokens; 0: the body has no limit
}

// Weigh estimates the cost of a body of any family from its member names. It reads the body once and ignores
// nesting. input must be valid JSON, but need not be valid for a model.
func Weigh(input []byte) (w Weight) {
	v := value(input)
	var of member // the last member name; elements of an array belong to the array's name
	for i := 0; i < len(v); {
		n := bytes.IndexByte(v[i:], '"')
		if n < 0 {
			break
		}
		i += n
		end := skip(v, i)
		text := v[i:end]
		i = space(v, end)
		if i == len(v) || v[i] != ':' {
			if of != silentMember {
				w.Text += int64(len(text) - len(`""`))
			}
			continue
		}
		of = memberOf(text)
		i = space(v, i+1)
		if of == limitMember {
			w.Most = max(w.Most, tokenLimit(v[i:skip(v, i)]))
		}
	}
	return w
}

// member classifies a member for Weigh.
type member int

const (
	textMember   member = iota // its strings are text for the model
	silentMember               // its strings are identifiers or media, not text
	limitMember                // limit of output tokens
)

// memberOf classifies a member by its name as written, with quotes. The switch does not allocate.
func memberOf(name value) member {
	if len(name) < len(`""`) {
		return textMember
	}
	switch string(name[1 : len(name)-1]) {
	case "type", "role", "anthropic_version", "anthropic_beta", "data", "bytes", "url", "uri", "format", "media_type", "detail", "id",
		"tool_use_id", "tool_call_id", "toolUseId", "model", "schemaVersion", "signature", "stop", "stop_sequences", "stopSequences", "input_type",
		"truncate", "embedding_types", "embeddingTypes", "encoding_format", "reasoning_effort", "service_tier", "latency", "image", "images":
		return silentMember
	case "max_tokens", "max_completion_tokens", "maxTokens", "max_new_tokens", "max_gen_len", "maxTokenCount", "max_tokens_to_sample":
		return limitMember
	}
	return textMember
}
