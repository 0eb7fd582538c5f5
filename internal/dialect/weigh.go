package dialect

import "slices"

// Weight is what a body is going to cost, as far as it tells by itself.
type Weight struct {
	Text int64 // bytes of text that the model reads
	Most int64 // tokens that it may answer with; 0: the body names no limit
}

// Weigh estimates a body of any family by the names of its members. It is a JSON object; whether a model takes it is another question.
func Weigh(input []byte) Weight {
	var w Weight
	w.add(nil, known(input))
	return w
}

// add takes in the value of a name, as it is written; the elements of an array have that of the array.
func (w *Weight) add(name, v value) {
	switch v.kind() {
	case '"':
		if !slices.ContainsFunc(silent, name.is) {
			w.Text += int64(len(v) - len(`""`))
		}
	case '{':
		for n, m := range v.fields() {
			w.add(n, m)
		}
	case '[':
		for _, e := range v.elements() {
			w.add(name, e)
		}
	case '0':
		if slices.ContainsFunc(limits, name.is) {
			if n, ok := v.integer(); ok {
				w.Most = max(w.Most, n)
			}
		}
	}
}

// silent are members whose strings no model reads as text: marks, names, and media.
var silent = []string{"type", "role", "anthropic_version", "anthropic_beta", "data", "bytes", "url", "uri", "format", "media_type", "detail", "id",
	"tool_use_id", "tool_call_id", "toolUseId", "model", "schemaVersion", "signature", "stop", "stop_sequences", "stopSequences", "input_type",
	"truncate", "embedding_types", "embeddingTypes", "encoding_format", "reasoning_effort", "service_tier", "latency", "image", "images"}

// limits are the families' names of the most tokens of an answer.
var limits = []string{"max_tokens", "max_completion_tokens", "maxTokens", "max_new_tokens", "max_gen_len", "maxTokenCount", "max_tokens_to_sample"}
