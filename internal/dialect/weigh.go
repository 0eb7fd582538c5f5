package dialect

import "bytes"

// Weight is what a body is going to cost, as far as it tells by itself.
type Weight struct {
	Text int64 // bytes of text that the model reads
	Most int64 // tokens that it may answer with; 0: the body names no limit
}

// Weigh estimates a body of any family by the names of its members, in one pass that does not care for how they nest. It must be JSON;
// whether a model takes it is another question.
func Weigh(input []byte) (w Weight) {
	v := value(input)
	var of member // the last name; the elements of an array have that of the array
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

// member is what a member of a body means for its weight.
type member int

const (
	textMember   member = iota // its strings are text that the model reads
	silentMember               // they are marks, names, and media
	limitMember                // the most tokens of an answer
)

// memberOf takes a name, quotes, escapes and all. A switch needs no copy of it.
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
