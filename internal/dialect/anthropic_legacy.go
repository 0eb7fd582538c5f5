package dialect

import (
	"strings"

	"github.com/batholith/batholith"
)

// claudeText is the older body of Claude: one prompt with turns marked in it (Bedrock: Anthropic Claude Text Completions).
// The turns become messages, since no other model knows these marks.
type claudeText struct{ Options }

const (
	humanMark     = "\n\nHuman:"
	assistantMark = "\n\nAssistant:"
)

func (d claudeText) request(body value, model string) (batholith.Call, error) {
	c := newChat(model, len(body))
	if err := d.body(c, body); err != nil {
		return batholith.Call{}, err
	}
	return c.call(), nil
}

func (d claudeText) body(c *chat, body value) error {
	var prompt value
	err := c.read(claudeTextBody, body, func(name string, v value) error {
		if name == "prompt" {
			prompt = v
		}
		return nil
	})
	if err != nil {
		return err
	}
	if c.param("max_tokens").absent() {
		return required("max_tokens_to_sample")
	}
	if err := needString("prompt", prompt); err != nil {
		return err
	}
	return d.turns(c, prompt.text())
}

// turns splits a prompt at its marks. What stands before the first is the system prompt, and an assistant's turn at the end
// is the beginning of the answer, or nothing.
func (d claudeText) turns(c *chat, prompt string) error {
	system, rest, ok := strings.Cut("\n\n"+strings.TrimLeft(prompt, "\n"), humanMark)
	if !ok {
		return at("prompt", wrong(`prompt must start with "\n\nHuman:" turn`))
	}
	c.said("system", strings.TrimSpace(system))
	for _, human := range strings.Split(rest, humanMark) {
		user, assistant, _ := strings.Cut(human, assistantMark)
		c.said("user", strings.TrimSpace(user))
		c.said("assistant", strings.TrimSpace(assistant))
	}
	return nil
}

// said writes a message of one text; nothing when there is none.
func (c *chat) said(role, text string) {
	if text == "" {
		return
	}
	var b buffer
	b.text(text)
	c.turn(&turn{role: role, parts: []part{{kind: "text", text: value(b)}}})
}

func (d claudeText) answer(input value, call batholith.Call, body []byte) (batholith.Answer, error) {
	c, err := parseChat(body)
	if err != nil {
		return batholith.Answer{}, err
	}
	if c.text.absent() {
		c.text = value(`""`)
	}
	b := make(buffer, 0, len(c.text)+128)
	b.open('{')
	b.textMember("type", "completion")
	b.member("completion", c.text)
	reason := "stop_sequence" // also of a turn that ended: the mark of the next one stopped it
	if c.finish == endLength {
		reason = "max_tokens"
	}
	b.textMember("stop_reason", reason)
	if s := c.stopped(input.member("stop_sequences")); !s.absent() {
		b.member("stop", s)
	} else if reason == "stop_sequence" {
		b.textMember("stop", humanMark)
	} else {
		b.literal(`"stop":null`)
	}
	b.close('}')
	return batholith.Answer{Output: b, Tokens: c.tokens, Model: c.model.text()}, nil
}
