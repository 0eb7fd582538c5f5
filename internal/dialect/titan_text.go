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
	var text value
	c.set("max_tokens", value(titanTokens))
	for name, v := range body.members() {
		var err error
		switch {
		case v.absent():
		case name == "inputText":
			text, err = v, wantString(name, v)
		case name == "textGenerationConfig":
			err = at(name, d.config(c, v))
		default:
			err = c.other(name, v)
		}
		if err != nil {
			return err
		}
	}
	if text.absent() {
		return required("inputText")
	}
	c.turn(&turn{role: "user", parts: []part{{kind: "text", text: text}}})
	return nil
}

func (d titanText) config(c *chat, v value) error {
	if v.kind() != '{' {
		return wrong("Input should be an object")
	}
	for name, m := range v.members() {
		var err error
		switch name {
		case "maxTokenCount":
			if !m.absent() {
				c.set("max_tokens", m)
			}
			err = wantCount(name, m, 1)
		case "temperature":
			c.set("temperature", m)
			err = wantNumber(name, m, 0, 1)
		case "topP":
			c.set("top_p", m)
			err = wantNumber(name, m, 0, 1)
		case "stopSequences":
			if m.len() > 0 {
				c.set("stop", m)
			}
			err = wantStrings(name, m)
		default:
			if !m.absent() {
				err = extra(name)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
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
