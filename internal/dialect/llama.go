package dialect

import "github.com/batholith/batholith"

// llama is Meta's body: a templated prompt (Bedrock: Meta Llama).
type llama struct{ Options }

// llamaTokens is how long an answer may be when the body does not say (Bedrock: max_gen_len).
const llamaTokens = "512"

func (d llama) Request(input []byte, model string) (batholith.Call, error) {
	body, err := object(input)
	if err != nil {
		return batholith.Call{}, refuse(err)
	}
	r, err := d.body(body, model)
	if err != nil {
		return batholith.Call{}, refuse(hintConverse(body, err))
	}
	return r.call(), nil
}

func (d llama) body(body value, model string) (*textRequest, error) {
	prompt := body.member("prompt")
	if err := needString("prompt", prompt); err != nil {
		return nil, err
	}
	r := newText(model, prompt)
	r.set("max_tokens", value(llamaTokens))
	for name, v := range body.members() {
		var err error
		switch {
		case v.absent(), name == "prompt":
		case name == "max_gen_len":
			r.set("max_tokens", v)
			err = wantCount(name, v, 1)
		case name == "temperature", name == "top_p":
			r.set(name, v)
			err = wantNumber(name, v, 0, 1)
		case name == "images":
			err = at(name, wrong("images beside a templated prompt cannot be served; use Converse"))
		default:
			err = r.other(name, v)
		}
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (d llama) Answer(input []byte, call batholith.Call, body []byte) (batholith.Answer, error) {
	c, err := parseText(body)
	if err != nil {
		return batholith.Answer{}, err
	}
	b := make(buffer, 0, len(c.text)+128)
	b.open('{')
	b.member("generation", c.text)
	b.integerMember("prompt_token_count", c.tokens.Input)
	b.integerMember("generation_token_count", c.tokens.Output)
	stop := "stop"
	if c.finish == "length" {
		stop = "length"
	}
	b.textMember("stop_reason", stop)
	b.close('}')
	return batholith.Answer{Output: b, Tokens: c.tokens}, nil
}
