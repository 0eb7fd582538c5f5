package dialect

import "github.com/batholith/batholith"

// auto takes any chat body, as the embedded models do. The shape decides, record by record, the first rule that fits:
//
//  1. a member that only Anthropic Messages has, such as "anthropic_version" or "system" with a text: Anthropic Messages
//  2. "inputText": Titan text, or Titan embeddings when there are members that only those have
//  3. "messages" with members or blocks that only Converse has: Converse
//  4. "messages": OpenAI chat
//  5. "prompt": Llama
//
// A body that no rule fits is refused with the list of them.
type auto struct{ Options }

func (d auto) Request(input []byte, model string) (batholith.Call, error) {
	body, err := object(input)
	if err != nil {
		return batholith.Call{}, refuse(err)
	}
	dialect := d.of(body)
	if dialect == nil {
		return batholith.Call{}, refuse(wrong(
			"modelInput is of no known shape; it should have messages (Anthropic Messages, Converse, OpenAI chat), inputText (Titan) or prompt (Llama)"))
	}
	return dialect.Request(input, model)
}

func (d auto) Answer(input []byte, call batholith.Call, body []byte) (batholith.Answer, error) {
	v, err := parse(input)
	if err != nil {
		return batholith.Answer{}, refuse(wrong("modelInput is %v", err))
	}
	dialect := d.of(v)
	if dialect == nil {
		return batholith.Answer{}, refuse(wrong("modelInput is of no known shape"))
	}
	return dialect.Answer(input, call, body)
}

// of is the dialect of a body, or nil.
func (d auto) of(body value) Dialect {
	switch {
	case looksAnthropic(body):
		return anthropic{d.Options}
	case !body.member("inputText").absent():
		if embeds(body) {
			return titanEmbed{d.Options}
		}
		return titanText{d.Options}
	case body.member("messages").absent():
		if !body.member("prompt").absent() {
			return llama{d.Options}
		}
		return nil
	case looksConverse(body):
		return converse{d.Options}
	}
	return openai{d.Options, false}
}

// looksAnthropic tells by members that neither Converse nor OpenAI chat has.
func looksAnthropic(body value) bool {
	for name, v := range body.members() {
		switch name {
		case "anthropic_version", "anthropic_beta", "stop_sequences", "thinking":
			if !v.absent() {
				return true
			}
		case "system": // Converse has it too, with blocks that are not tagged
			for _, block := range v.elements() {
				return !block.member("type").absent()
			}
			return v.kind() == '"'
		}
	}
	return false
}

// embeds tells whether a body with inputText has what only embeddings have.
func embeds(body value) bool {
	for name, v := range body.members() {
		switch name {
		case "dimensions", "normalize", "embeddingTypes":
			return !v.absent()
		}
	}
	return false
}
