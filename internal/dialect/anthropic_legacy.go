package dialect

import (
	"strings"

	"github.com/batholith/batholith"
)

// claudeText translates Claude's old format: one prompt that contains the turns (Bedrock:
// Anthropic Claude Text Completions). The turns become messages, because other models do not
// know these marks. A minimal body and its answer:
//
//	{"prompt":"\n\nHuman: Hello\n\nAssistant:","max_tokens_to_sample":512}
//	{"type":"completion","completion":" Hi","stop_reason":"stop_sequence","stop":"\n\nHuman:"}
type claudeText struct{ Options }

// Marks of a turn in the prompt.
const (
	humanMark     = "\n\nHuman:"
	assistantMark = "\n\nAssistant:"
)

// request implements translator.
func (d claudeText) request(body value, model string) (batholith.Call, error) {
	c := newChat(model, len(body))
	if err := d.body(c, body); err != nil {
		return batholith.Call{}, err
	}
	return c.call(), nil
}

// body reads the parameters, then splits the prompt.
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

// turns splits a prompt at its marks. Text before the first mark is the system prompt. A last
// assistant turn is the beginning of the answer; it may be empty.
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

// said writes a message with one text, or nothing if the text is empty.
func (c *chat) said(role, text string) {
	if text == "" {
		return
	}
	var b buffer
	b.text(text)
	c.turn(&turn{role: role, parts: []part{{kind: "text", text: value(b)}}})
}

// answer implements translator.
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
	reason := "stop_sequence" // also for a normal end: the next turn's mark would have stopped it
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
