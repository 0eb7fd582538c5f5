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
	shared := converse(d)
	err := body.each(func(name string, v value) error {
		switch name {
		case "messages":
			messages = v
		case "system":
			system = v
		case "inferenceConfig":
			return at(name, d.inference(c, v))
		case "toolConfig":
			return at(name, first(at("tools", toolSpecs(c, v.member("tools"))), at("toolChoice", toolChoice(c, v.member("toolChoice")))))
		case "schemaVersion":
			if !v.is("messages-v1") {
				return at(name, wrong("Input should be 'messages-v1'"))
			}
		case "additionalModelRequestFields":
			return shared.additional(c, v)
		default:
			return c.other(name, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return first(needArray("messages", messages), shared.system(c, system), shared.messages(c, messages))
}

// novaConfig has the names of today and those of the first models (Bedrock: Amazon Nova, request).
var novaConfig = parameters{
	"maxTokens":      {"max_tokens", count(1)},
	"max_new_tokens": {"max_tokens", count(1)},
	"temperature":    {"temperature", number(0, 1)},
	"topP":           {"top_p", number(0, 1)},
	"top_p":          {"top_p", number(0, 1)},
	"topK":           {"top_k", count(0)},
	"top_k":          {"top_k", count(0)},
	"stopSequences":  {"stop", wantStrings},
}

// inference reads the configuration; thinking is a part of it.
func (d nova) inference(c *chat, v value) error {
	if v.kind() != '{' {
		return wrong("Input should be an object")
	}
	return v.each(func(name string, m value) error {
		if name == "reasoningConfig" {
			return at(name, thinking(c, m))
		}
		return c.takeKnown(novaConfig, name, m)
	})
}

// answer is Converse's but for the names of two counters.
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
