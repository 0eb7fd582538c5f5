package dialect

import "github.com/batholith/batholith"

// nova translates the bodies of Amazon's Nova models: Converse's messages with a configuration
// of its own (Bedrock: Amazon Nova, schemaVersion messages-v1). A minimal body:
//
//	{"schemaVersion":"messages-v1","messages":[{"role":"user","content":[{"text":"Hello"}]}],"inferenceConfig":{"maxTokens":512}}
type nova struct{ Options }

// request implements translator.
func (d nova) request(body value, model string) (batholith.Call, error) {
	c := newChat(model, len(body))
	if err := d.body(c, body); err != nil {
		return batholith.Call{}, err
	}
	return c.call(), nil
}

// body reads Nova's own members; the rest is Converse's.
func (d nova) body(c *chat, body value) error {
	return converse{d.Options, novaBody, true}.read(c, body)
}

// inference reads inferenceConfig, which may contain reasoningConfig.
func (d nova) inference(c *chat, o, reasoning *members, v value) error {
	return c.readObject(o, v, func(name string, v value) error { return at(name, c.readThinking(reasoning, v)) })
}

// answer writes Converse's answer with two other names in usage, and without metrics.
func (d nova) answer(input value, call batholith.Call, body []byte) (batholith.Answer, error) {
	c, err := parseChat(body)
	if err != nil {
		return batholith.Answer{}, err
	}
	b := make(buffer, 0, len(c.text)+len(c.reasoning)+512)
	b.open('{')
	b.converseOutput(c)
	var stop value
	if !c.stop.absent() {
		stop = c.stopped(input.member("inferenceConfig").member("stopSequences"))
	}
	b.textMember("stopReason", converseStop(c, stop))
	b.key("usage")
	b.open('{')
	b.integerMember("inputTokens", c.tokens.Input-c.tokens.CacheRead-c.tokens.CacheWrite)
	b.integerMember("outputTokens", c.tokens.Output)
	b.integerMember("totalTokens", c.tokens.Input+c.tokens.Output)
	b.integerMember("cacheReadInputTokenCount", c.tokens.CacheRead)
	b.integerMember("cacheWriteInputTokenCount", c.tokens.CacheWrite)
	b.close('}')
	b.close('}')
	return batholith.Answer{Output: b, Tokens: c.tokens, Model: c.model.text()}, nil
}
