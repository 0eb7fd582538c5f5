package dialect

import "github.com/batholith/batholith"

// answer writes a ConverseResponse. latencyMs is the duration of the request to the model
// server, including its queue. inputTokens excludes tokens read from a cache; totalTokens
// includes all (Bedrock: TokenUsage).
func (d converse) answer(input value, call batholith.Call, body []byte) (batholith.Answer, error) {
	c, err := parseChat(body)
	if err != nil {
		return batholith.Answer{}, err
	}
	b := make(buffer, 0, len(c.text)+len(c.reasoning)+512)
	b.open('{')
	b.converseOutput(c)
	stop := c.stopped(input.member("inferenceConfig").member("stopSequences"))
	b.textMember("stopReason", converseStop(c, stop))
	b.key("usage")
	b.open('{')
	b.integerMember("inputTokens", c.tokens.Input-c.tokens.CacheRead-c.tokens.CacheWrite)
	b.integerMember("outputTokens", c.tokens.Output)
	b.integerMember("totalTokens", c.tokens.Input+c.tokens.Output)
	b.integerMember("cacheReadInputTokens", c.tokens.CacheRead)
	b.integerMember("cacheWriteInputTokens", c.tokens.CacheWrite)
	b.close('}')
	b.key("metrics")
	b.open('{')
	b.integerMember("latencyMs", call.Took.Milliseconds())
	b.close('}')
	d.responseFields(&b, input, body, stop)
	b.close('}')
	return batholith.Answer{Output: b, Tokens: c.tokens, Model: c.model.text()}, nil
}

// converseOutput writes the message; Converse and Nova have the same format.
func (b *buffer) converseOutput(c completion) {
	b.literal(`"output":{"message":{"role":"assistant","content":[`)
	if !c.reasoning.absent() {
		b.literal(`{"reasoningContent":{"reasoningText":{`)
		b.member("text", c.reasoning)
		*b = append(*b, "}}}"...)
	}
	if len(c.text) > len(`""`) || !c.text.absent() && len(c.calls) == 0 {
		b.open('{')
		b.member("text", c.text)
		b.close('}')
	}
	// toolUseId comes from the server, or is derived from the answer's id.
	for i, call := range c.calls {
		b.literal(`{"toolUse":{`)
		b.textMember("toolUseId", c.callName("tooluse_", i))
		b.member("name", call.name)
		b.member("input", call.arguments)
		*b = append(*b, "}}"...)
	}
	*b = append(*b, "]}}"...)
}

// converseStop returns the stopReason. stop is the stop sequence that was met, or nil.
func converseStop(c completion, stop value) string {
	if !stop.absent() {
		return "stop_sequence"
	}
	switch c.finish {
	case endLength:
		return "max_tokens"
	case endTools:
		return "tool_use"
	case endFilter:
		return "content_filtered"
	}
	return "end_turn"
}

// responseFields answers additionalModelResponseFieldPaths. /stop_sequence returns the stop
// sequence, as Anthropic's models do. Any other path is looked up in the server's answer, and
// left out if it is not there.
func (d converse) responseFields(b *buffer, input value, body []byte, stop value) {
	// The paths refer to the model server's answer, not to this one.
	paths := input.member("additionalModelResponseFieldPaths")
	if paths.kind() != '[' {
		return
	}
	doc, err := parseAnswer(body)
	if err != nil {
		return
	}
	b.key("additionalModelResponseFields")
	b.open('{')
	for _, p := range paths.elements() {
		path := p.text()
		found := pointed(doc, path)
		if path == "/stop_sequence" && found.absent() {
			found = stop
		}
		b.found(path, found)
	}
	b.close('}')
}
