package dialect

import "github.com/batholith/batholith"

// answer writes a message in Anthropic's format. input_tokens excludes tokens read from a cache
// (Anthropic: usage).
func (d anthropic) answer(input value, call batholith.Call, body []byte) (batholith.Answer, error) {
	c, err := parseChat(body)
	if err != nil {
		return batholith.Answer{}, err
	}
	// 512 bytes are enough for the members around text and thoughts, so the buffer rarely
	// grows.
	b := make(buffer, 0, len(c.text)+len(c.reasoning)+512)
	b.open('{')
	b.textMember("id", c.name("msg_"))
	b.literal(`"type":"message","role":"assistant"`)
	b.textMember("model", claudeName(d.shown(c.model.text())))
	b.key("content")
	b.open('[')
	d.content(&b, c)
	b.close(']')
	d.stopReason(&b, input, c)
	b.key("usage")
	b.open('{')
	b.integerMember("input_tokens", c.tokens.Input-c.tokens.CacheRead-c.tokens.CacheWrite)
	b.integerMember("cache_creation_input_tokens", c.tokens.CacheWrite)
	b.integerMember("cache_read_input_tokens", c.tokens.CacheRead)
	b.integerMember("output_tokens", c.tokens.Output)
	b.close('}')
	b.close('}')
	return batholith.Answer{Output: b, Tokens: c.tokens, Model: c.model.text()}, nil
}

// content writes thoughts, text and tool calls, in this order. Only the provider can create a
// thought's signature, so it is empty.
func (d anthropic) content(b *buffer, c completion) {
	if !c.reasoning.absent() {
		b.open('{')
		b.textMember("type", "thinking")
		b.member("thinking", c.reasoning)
		b.literal(`"signature":""`)
		b.close('}')
	}
	// An empty text block is written only if the message would otherwise be empty.
	if len(c.text) > len(`""`) || !c.text.absent() && len(c.calls) == 0 {
		b.open('{')
		b.textMember("type", "text")
		b.member("text", c.text)
		b.close('}')
	}
	for i, call := range c.calls {
		b.open('{')
		b.textMember("type", "tool_use")
		b.textMember("id", c.callName("toolu_", i))
		b.member("name", call.name)
		b.member("input", call.arguments)
		b.close('}')
	}
}

// stopReason writes stop_reason, and stop_sequence if the server reported which one was met;
// otherwise null.
func (d anthropic) stopReason(b *buffer, input value, c completion) {
	// The server's stop sequence counts only if the record asked for it; a model's own end
	// token does not.
	if !c.stop.absent() {
		if s := c.stopped(input.member("stop_sequences")); !s.absent() {
			b.textMember("stop_reason", "stop_sequence")
			b.member("stop_sequence", s)
			return
		}
	}
	reason := "end_turn"
	switch c.finish {
	case endLength:
		reason = "max_tokens"
	case endTools:
		reason = "tool_use"
	case endFilter:
		reason = "refusal"
	}
	b.textMember("stop_reason", reason)
	b.literal(`"stop_sequence":null`)
}

// claudeName returns a Claude model's own name: the id without provider and version.
// Bedrock: "anthropic.claude-3-haiku-20240307-v1:0" answers as "claude-3-haiku-20240307".
func claudeName(id string) string {
	name, ok := cutProvider(id, "anthropic.")
	if !ok {
		return id
	}
	return cutVersion(name)
}
