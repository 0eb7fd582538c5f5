package dialect

import "github.com/batholith/batholith"

// mistralBodies are two: a templated prompt, or messages (Bedrock: Mistral AI text completion and chat completion).
func mistralBodies(o Options) translator {
	var chat, text translator = mistralChat{openai{Options: o, mistral: true}}, mistralText(o)
	return byShape(func(body value) (translator, error) {
		if !body.member("prompt").absent() {
			return text, nil
		}
		return chat, nil
	})
}

// mistralChat is OpenAI's chat but for some words, and a "stop_reason" in the answer.
type mistralChat struct{ openai }

// Answer gives the reason under both names: clients of older models read stop_reason, of newer ones finish_reason.
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

func (b *buffer) choice(choice value) {
	b.open('{')
	for name, v := range choice.members() {
		if name == "stop_reason" { // the server's, which names a sequence
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
