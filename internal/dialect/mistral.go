package dialect

import "github.com/batholith/batholith"

// mistralBodies selects one of Mistral's two formats: a prompt, or messages (Bedrock: Mistral
// AI text completion and chat completion). Minimal bodies:
//
//	{"prompt":"<s>[INST] Hello [/INST]","max_tokens":512}
//	{"messages":[{"role":"user","content":"Hello"}],"max_tokens":512}
func mistralBodies(o Options) translator {
	var chat, text translator = mistralChat{openai{Options: o, mistral: true}}, mistralText(o)
	return byShape(func(body value) (translator, error) {
		if !body.member("prompt").absent() {
			return text, nil
		}
		return chat, nil
	})
}

// mistralChat is OpenAI's chat with Mistral's additional members, and "stop_reason" in the
// answer.
type mistralChat struct{ openai }

// answer gives the finish reason under two names: clients of older models read stop_reason,
// those of newer ones finish_reason.
func (d mistralChat) answer(input value, call batholith.Call, body []byte) (batholith.Answer, error) {
	a, err := d.openai.answer(input, call, body)
	if err != nil {
		return a, err
	}
	b := make(buffer, 0, len(a.Output)+32)
	b.open('{')
	for name, v := range value(a.Output).members() {
		b.anyKey(name)
		if name != "choices" {
			b.raw(v)
			continue
		}
		b.open('[')
		for _, choice := range v.elements() {
			b.choice(choice)
		}
		b.close(']')
	}
	b.close('}')
	a.Output = b
	return a, nil
}

// choice copies a choice and adds stop_reason after finish_reason.
func (b *buffer) choice(choice value) {
	b.open('{')
	for name, v := range choice.members() {
		if name == "stop_reason" { // the server's own stop_reason is a stop sequence
			continue
		}
		b.anyKey(name)
		b.raw(v)
		if name == "finish_reason" {
			b.member("stop_reason", v)
		}
	}
	b.close('}')
}
