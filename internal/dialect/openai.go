package dialect

import (
	"slices"

	"github.com/batholith/batholith"
)

// openai is the chat completions API, which most open models have on Bedrock. The body is the server's own but for the model.
type openai struct {
	Options
	// tagged puts what the model thought before its answer, in <reasoning> (Bedrock: gpt-oss by InvokeModel).
	tagged bool
}

// request copies the body member by member, in its order. What is unknown here may be known to the server, which speaks the same API. What
// every server would refuse, and what a batch cannot have, is an error; the body is read once for both.
func (d openai) request(body value, model string) (batholith.Call, error) {
	b := newBuffer(len(body) + len(model) + 32)
	b.open('{')
	b.textMember("model", model)
	var messages value
	var unfit, badMessage error
	serverTools := false
	body.object(0, func(raw value, from int) (end int) {
		name := raw.text()
		var bad error
		if name == "messages" {
			end, bad = d.messages(body, from)
		} else {
			end = skip(body, from)
		}
		v := body[from:end]
		if v.absent() {
			return end
		}
		if name == "messages" {
			messages, badMessage = v, bad
		}
		if unfit == nil {
			unfit = d.member(name, v, model)
		}
		switch name {
		case "model", "stream", "stream_options":
		default:
			b.anyKey(name)
			b.raw(v)
			serverTools = serverTools || serverRun(name, v)
		}
		return end
	})
	b.close('}')
	if unfit == nil {
		unfit = needArray("messages", messages)
	}
	if unfit != nil {
		return batholith.Call{}, hintConverse(body, unfit)
	}
	if badMessage != nil {
		return batholith.Call{}, badMessage
	}
	return batholith.Call{Path: chatPath, Body: b, ServerTools: serverTools}, nil
}

// member checks what has one meaning on every server; ranges are OpenAI's.
func (d openai) member(name string, v value, model string) error {
	switch name {
	case "model":
		return d.model(v, model)
	case "stream":
		if v.kind() != 'f' {
			return at(name, wrong("a batch record cannot be streamed; leave it out or give false"))
		}
	case "max_tokens", "max_completion_tokens":
		return wantCount(name, v, 1)
	case "temperature":
		return wantNumber(name, v, 0, 2)
	case "top_p":
		return wantNumber(name, v, 0, 1)
	case "presence_penalty", "frequency_penalty":
		return wantNumber(name, v, -2, 2)
	case "n":
		return wantCount(name, v, 1)
	case "tools":
		return wantArray(name, v)
	case "stop":
		if v.kind() != '"' {
			return wantStrings(name, v)
		}
	case "inferenceConfig", "toolConfig", "additionalModelRequestFields", "anthropic_version":
		return extra(name) // the body is of another family; the server's answer would not say so
	}
	return nil
}

// model must be the job's, as the job's request names it or as one of its other names.
func (d openai) model(v value, backend string) error {
	if v.kind() != '"' {
		return wantString("model", v)
	}
	names := d.Names
	if len(names) == 0 {
		names = []string{backend}
	}
	id := LastPart(v.text())
	bare, _ := CutGeography(id)
	if !slices.Contains(names, id) && !slices.Contains(names, bare) {
		return at("model", wrong("Input should be the job's model '%s', or absent", names[0]))
	}
	return nil
}

// messages looks at the form of each message only: content may be null, and roles differ between models. The array begins at a position of the
// body, and the position after it is returned. What is no array is passed over.
func (d openai) messages(body value, from int) (end int, err error) {
	if body[from:].kind() != '[' {
		return skip(body, from), nil
	}
	n := 0
	end = body.array(from, func(i, from int) (end int) {
		n++
		if err != nil {
			return skip(body, from)
		}
		end, err = d.looked(body, i, from)
		return end
	})
	if n == 0 {
		err = at("messages", wrong("at least one message is required"))
	}
	return end, err
}

// looked looks at message i, which begins at a position of the body, and returns the position after it.
func (d openai) looked(body value, i, from int) (end int, err error) {
	if body[from:].kind() != '{' {
		return skip(body, from), at("messages", at(i, wrong("Input should be an object")))
	}
	var role, content value
	end = body.object(from, func(name value, from int) int {
		end := skip(body, from)
		switch {
		case name.is("role"):
			role = body[from:end]
		case name.is("content"):
			content = body[from:end]
		}
		return end
	})
	if err := needString("role", role); err != nil {
		return end, at("messages", at(i, err))
	}
	for j, block := range content.elements() {
		if err := needString("type", block.member("type")); err != nil {
			return end, hintConverse(body, at("messages", at(i, at("content", at(j, err)))))
		}
	}
	return end, nil
}

// answer copies the server's answer member by member, without nulls and under the job's model id.
func (d openai) answer(input value, body []byte) (batholith.Answer, error) {
	doc, err := answerObject(body)
	if err != nil {
		return batholith.Answer{}, err
	}
	var tokens batholith.Tokens
	choices := 0
	b := make(buffer, 0, len(doc)+64)
	b.open('{')
	for name, v := range doc.members() {
		if v.absent() {
			continue
		}
		b.anyKey(name)
		switch name {
		case "model":
			b.text(d.shown(v.text()))
		case "choices":
			if choices, err = d.choices(&b, v); err != nil {
				return batholith.Answer{}, err
			}
		case "usage":
			tokens = usage(v)
			b.clean(v)
		default:
			b.raw(v)
		}
	}
	b.close('}')
	if choices == 0 {
		return batholith.Answer{}, nonsense("it has no choices")
	}
	return batholith.Answer{Output: b, Tokens: tokens}, nil
}

// choices copies every choice; there are several where the body asked for n.
func (d openai) choices(b *buffer, v value) (n int, err error) {
	b.open('[')
	for _, choice := range v.elements() {
		if choice.member("message").kind() != '{' {
			return 0, nonsense("a choice has no message")
		}
		b.open('{')
		for name, m := range choice.members() {
			switch {
			case m.absent():
			case name == "message":
				b.key(name)
				if err := d.message(b, m); err != nil {
					return 0, err
				}
			default:
				b.anyKey(name)
				b.raw(m)
			}
		}
		b.close('}')
		n++
	}
	b.close(']')
	return n, nil
}

// message copies a message without its nulls, and without the empty list of tool calls that some servers always give.
func (d openai) message(b *buffer, message value) error {
	var reasoning value
	if d.tagged {
		if reasoning = message.member("reasoning_content"); reasoning.kind() != '"' {
			reasoning = message.member("reasoning")
		}
	}
	b.open('{')
	for name, v := range message.members() {
		switch {
		case name == "content":
			text, err := contentText(v)
			if err != nil {
				return err
			}
			b.tagged(reasoning, text)
		case v.absent(), name == "tool_calls" && v.len() == 0:
		case d.tagged && (name == "reasoning_content" || name == "reasoning"):
		default:
			b.anyKey(name)
			b.raw(v)
		}
	}
	b.close('}')
	return nil
}

// tagged writes the content with the reasoning, if there is any, before it.
func (b *buffer) tagged(reasoning, text value) {
	if reasoning.kind() != '"' || len(reasoning) == len(`""`) {
		b.member("content", text)
		return
	}
	if text.absent() {
		text = value(`""`)
	}
	b.key("content")
	*b = append(*b, `"<reasoning>`...)
	*b = append(*b, reasoning[1:len(reasoning)-1]...)
	*b = append(*b, `</reasoning>`...)
	*b = append(*b, text[1:]...)
}

// clean copies an object without its nulls.
func (b *buffer) clean(v value) {
	if v.kind() != '{' {
		b.raw(v)
		return
	}
	b.open('{')
	for name, m := range v.members() {
		if !m.absent() {
			b.anyKey(name)
			b.clean(m)
		}
	}
	b.close('}')
}
