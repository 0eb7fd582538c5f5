package dialect

import "github.com/batholith/batholith"

// nova is the body of Amazon's Nova models: messages as Converse has them, and a configuration of its own
// (Bedrock: Amazon Nova, schemaVersion messages-v1).
type nova struct{ Options }

func (d nova) request(body value, model string) (batholith.Call, error) {
	c := newChat(model, len(body))
	if err := d.body(c, body); err != nil {
		return batholith.Call{}, err
	}
	return c.call(), nil
}

func (d nova) body(c *chat, body value) error {
	var system, messages value
	for name, v := range body.members() {
		if v.absent() {
			continue
		}
		var err error
		switch name {
		case "messages":
			messages = v
		case "system":
			system = v
		case "inferenceConfig":
			err = at(name, d.inference(c, v))
		case "toolConfig":
			err = at(name, first(at("tools", toolSpecs(c, v.member("tools"))), at("toolChoice", toolChoice(c, v.member("toolChoice")))))
		case "schemaVersion":
			if !v.is("messages-v1") {
				err = at(name, wrong("Input should be 'messages-v1'"))
			}
		case "additionalModelRequestFields":
			err = converse{d.Options}.additional(c, v)
		default:
			err = c.other(name, v)
		}
		if err != nil {
			return err
		}
	}
	shared := converse{d.Options}
	return first(needArray("messages", messages), shared.system(c, system), shared.messages(c, messages))
}

func (d nova) inference(c *chat, v value) error {
	if v.kind() != '{' {
		return wrong("Input should be an object")
	}
	for name, m := range v.members() {
		if m.absent() {
			continue
		}
		if err := d.setting(c, name, m); err != nil {
			return err
		}
	}
	return nil
}

func (d nova) setting(c *chat, name string, v value) error {
	switch name {
	case "maxTokens", "max_new_tokens":
		c.set("max_tokens", v)
		return wantCount(name, v, 1)
	case "temperature":
		c.set(name, v)
		return wantNumber(name, v, 0, 1)
	case "topP", "top_p":
		c.set("top_p", v)
		return wantNumber(name, v, 0, 1)
	case "topK", "top_k":
		c.set("top_k", v)
		return wantCount(name, v, 0)
	case "stopSequences":
		c.set("stop", v)
		return wantStrings(name, v)
	case "reasoningConfig":
		return at(name, thinking(c, v))
	}
	return extra(name)
}

func (d nova) answer(input value, body []byte) (batholith.Answer, error) {
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
	b.integerMember("inputTokens", c.tokens.Input-c.tokens.CacheRead)
	b.integerMember("outputTokens", c.tokens.Output)
	b.integerMember("totalTokens", c.tokens.Input+c.tokens.Output)
	b.integerMember("cacheReadInputTokenCount", c.tokens.CacheRead)
	b.integerMember("cacheWriteInputTokenCount", c.tokens.CacheWrite)
	b.close('}')
	b.close('}')
	return batholith.Answer{Output: b, Tokens: c.tokens}, nil
}
