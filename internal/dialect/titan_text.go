package dialect

import "github.com/batholith/batholith"

// titanText is the body of Amazon's Titan text models (Bedrock: Titan Text). The text becomes the user's one message.
type titanText struct{ Options }

func (d titanText) request(body value, model string) (batholith.Call, error) {
	c := newChat(model, len(body))
	if err := d.body(c, body); err != nil {
		return batholith.Call{}, hintConverse(body, err)
	}
	return c.call(), nil
}

// titanTokens is how long an answer may be when the body does not say (Bedrock: maxTokenCount).
const titanTokens = "512"

func (d titanText) body(c *chat, body value) error {
	c.set("max_tokens", value(titanTokens))
	var text value
	err := body.each(func(name string, v value) error {
		switch name {
		case "inputText":
			text = v
			return wantString(name, v)
		case "textGenerationConfig":
			return at(name, d.config(c, v))
		}
		return c.other(name, v)
	})
	if err != nil {
		return err
	}
	if text.absent() {
		return required("inputText")
	}
	c.turn(&turn{role: "user", parts: []part{{kind: "text", text: text}}})
	return nil
}

// titanConfig has the ranges of the models (Bedrock: Amazon Titan Text, textGenerationConfig).
var titanConfig = parameters{
	"maxTokenCount": {"max_tokens", count(1)},
	"temperature":   {"temperature", number(0, 1)},
	"topP":          {"top_p", number(0, 1)},
	"stopSequences": {"stop", wantStrings},
}

// config leaves out an empty list of stop sequences: it is what clients send by default, and some servers refuse it.
func (d titanText) config(c *chat, v value) error {
	if v.kind() != '{' {
		return wrong("Input should be an object")
	}
	return v.each(func(name string, m value) error {
		if m.kind() == '[' && m.len() == 0 && name == "stopSequences" {
			return nil
		}
		return c.takeKnown(titanConfig, name, m)
	})
}

func (d titanText) answer(input value, body []byte) (batholith.Answer, error) {
	c, err := parseChat(body)
	if err != nil {
		return batholith.Answer{}, err
	}
	if c.text.absent() {
		c.text = value(`""`)
	}
	b := make(buffer, 0, len(c.text)+128)
	b.open('{')
	b.integerMember("inputTextTokenCount", c.tokens.Input)
	b.literal(`"results":[{`)
	b.integerMember("tokenCount", c.tokens.Output)
	b.member("outputText", c.text)
	b.textMember("completionReason", d.reason(c, input))
	b = append(b, "}]}"...)
	return batholith.Answer{Output: b, Tokens: c.tokens}, nil
}

// reason is why the answer ended, in Titan's words (Bedrock: completionReason).
func (d titanText) reason(c completion, input value) string {
	if !c.stopped(input.member("textGenerationConfig").member("stopSequences")).absent() {
		return "STOP_CRITERIA_MET"
	}
	switch c.finish {
	case "length":
		return "LENGTH"
	case "content_filter":
		return "CONTENT_FILTERED"
	}
	return "FINISH"
}
