package dialect

import (
	"github.com/batholith/batholith"
)

// hubAnswer is an answer of another protocol that is to be written in OpenAI's, from which the
// families read it.
type hubAnswer struct {
	id, model     value // JSON strings
	text, thought value // likewise; absent if there is none
	calls         []toolCall
	finish        string // one of endStop, endLength, endTools, endFilter
	stop          value  // the stop sequence that was met, if the server tells
	tokens        batholith.Tokens
}

// body writes the answer as one of /chat/completions. OpenAI requires created; the other
// protocols have no such time, so it is 0.
func (h hubAnswer) body() []byte {
	b := make(buffer, 0, len(h.text)+len(h.thought)+512)
	b.open('{')
	b.member("id", h.id)
	b.literal(`"object":"chat.completion","created":0`)
	b.member("model", h.model)
	b.literal(`"choices":[{"index":0,"message":{"role":"assistant"`)
	switch {
	case !h.text.absent():
		b.member("content", h.text)
	case len(h.calls) > 0:
		b.literal(`"content":null`)
	default:
		b.literal(`"content":""`)
	}
	b.member("reasoning_content", h.thought)
	b.calls(h.calls)
	b.close('}')
	b.textMember("finish_reason", h.finish)
	b.member("stop_reason", h.stop)
	b.close('}')
	b.close(']')
	b.usage(h.tokens, h.tokens.CacheRead > 0 || h.tokens.CacheWrite > 0)
	b.close('}')
	return b
}

// silent reports whether the answer has no content.
func (h hubAnswer) silent() bool {
	return h.text.absent() && h.thought.absent() && len(h.calls) == 0
}

// usage writes token counts as OpenAI does, on request with those of the cache.
func (b *buffer) usage(t batholith.Tokens, cache bool) {
	b.key("usage")
	b.open('{')
	b.integerMember("prompt_tokens", t.Input)
	b.integerMember("completion_tokens", t.Output)
	b.integerMember("total_tokens", t.Input+t.Output)
	if cache {
		b.key("prompt_tokens_details")
		b.open('{')
		b.integerMember("cached_tokens", t.CacheRead)
		b.integerMember("cache_creation_tokens", t.CacheWrite)
		b.close('}')
	}
	b.close('}')
}

// isJSON reports whether a text is JSON.
func isJSON(text value) bool {
	_, err := parseAnswer([]byte(text.text()))
	return err == nil
}
