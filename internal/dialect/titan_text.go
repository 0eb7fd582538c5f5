package dialect

import "github.com/batholith/batholith"

// titanText translates Amazon's Titan text models (Bedrock: Titan Text). The text becomes one
// user message. A minimal body and its answer:
//
//	{"inputText":"Hello","textGenerationConfig":{"maxTokenCount":512}}
//	{"inputTextTokenCount":8,"results":[{"tokenCount":3,"outputText":"Hi","completionReason":"FINISH"}]}
type titanText struct{ Options }

// request implements translator.
func (d titanText) request(body value, model string) (batholith.Call, error) {
	c := newChat(model, len(body))
	if err := d.body(c, body); err != nil {
		return batholith.Call{}, hintConverse(body, err)
	}
	return c.call(), nil
}

// titanTokens is the limit of output tokens if the body has none (Bedrock: maxTokenCount).
const titanTokens = "512"

// body reads the text and the configuration.
func (d titanText) body(c *chat, body value) error {
	c.set("max_tokens", value(titanTokens))
	var text value
	err := c.read(titanTextBody, body, func(name string, v value) error {
		if name == "inputText" {
			text = v
			return nil
		}
		return at(name, c.readObject(titanTextConfig, v, nil))
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

// answer implements translator.
func (d titanText) answer(input value, call batholith.Call, body []byte) (batholith.Answer, error) {
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
	return batholith.Answer{Output: b, Tokens: c.tokens, Model: c.model.text()}, nil
}

// reason returns why the answer ended, in Titan's words (Bedrock: completionReason).
func (d titanText) reason(c completion, input value) string {
	if !c.stopped(input.member("textGenerationConfig").member("stopSequences")).absent() {
		return "STOP_CRITERIA_MET"
	}
	switch c.finish {
	case endLength:
		return "LENGTH"
	case endFilter:
		return "CONTENT_FILTERED"
	}
	return "FINISH"
}
