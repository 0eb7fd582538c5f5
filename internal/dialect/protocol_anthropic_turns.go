package dialect

import (
	"bytes"
	"slices"
	"strings"
)

// messageBlock is one content block, as JSON. plain is its text if it is nothing but a text.
type messageBlock struct{ json, plain value }

// conversation writes the messages. Consecutive messages of one role become one message. Results of
// tools belong to the user's message and come first in it.
func (r *messagesRequest) conversation() error {
	last := -1
	for i, m := range r.messages.elements() {
		if m.member("role").is("user") {
			last = i
		}
	}
	for i, m := range r.messages.elements() {
		if i == last {
			r.open("user")
			for _, t := range r.texts {
				r.text(t)
			}
		}
		if err := r.message(m); err != nil {
			return at("messages", at(i, err))
		}
	}
	r.flush()
	if len(r.b) == 0 {
		return at("messages", wrong("at least one message is required that is not the system's"))
	}
	if len(r.system) == 1 {
		r.rest.member("system", r.system[0])
		return nil
	}
	if len(r.system) > 1 {
		r.rest.key("system")
		r.rest.open('[')
		for _, text := range r.system {
			r.rest.block(text)
		}
		r.rest.close(']')
	}
	return nil
}

// message reads one message.
func (r *messagesRequest) message(m value) error {
	content := m.member("content")
	if err := r.only("messages", m, "role", "content", "reasoning_content", "tool_calls", "tool_call_id", "refusal"); err != nil {
		return err
	}
	switch role := m.member("role").text(); role {
	case "system", "developer":
		if len(r.b) > 0 || r.turn != "" {
			r.changes.Map("messages.role") // the Messages API has the system prompt before all turns
		}
		return r.prompt(content)
	case "user":
		r.open("user")
		return at("content", r.content(content))
	case "assistant":
		r.open("assistant")
		r.thought(m.member("reasoning_content"))
		if err := at("content", r.content(content)); err != nil {
			return err
		}
		for i, call := range m.member("tool_calls").elements() {
			if err := r.called(call); err != nil {
				return at("tool_calls", at(i, err))
			}
		}
		return nil
	case "tool":
		r.open("user")
		return r.result(m.member("tool_call_id"), content)
	default:
		return at("role", wrong("the Messages API has no role '%s'", shortened(role, 60)))
	}
}

// prompt appends the texts of a system message.
func (r *messagesRequest) prompt(content value) error {
	if content.kind() == '"' {
		if !content.is("") {
			r.system = append(r.system, content)
		}
		return nil
	}
	for i, p := range content.elements() {
		text := p.member("text")
		if err := r.only("messages.content", p, "type", "text"); err != nil {
			return at("content", at(i, err))
		}
		if text.kind() != '"' {
			return at("content", at(i, wrong("a system prompt is text")))
		}
		r.system = append(r.system, text)
	}
	return nil
}

// open begins a message, unless the present one has the same role.
func (r *messagesRequest) open(role string) {
	if r.turn != role {
		r.flush()
		r.turn = role
	}
}

// flush writes the present message. A message of the assistant without content is left out,
// because the Messages API refuses it.
func (r *messagesRequest) flush() {
	defer func() { r.turn, r.blocks = "", r.blocks[:0] }()
	if r.turn == "" || r.turn == "assistant" && len(r.blocks) == 0 {
		return
	}
	r.b.open('{')
	r.b.textMember("role", r.turn)
	r.b.key("content")
	switch {
	case len(r.blocks) == 0:
		r.b.literal(`""`)
	case len(r.blocks) == 1 && r.blocks[0].plain != nil:
		r.b.raw(r.blocks[0].plain)
	default:
		r.b.open('[')
		for _, b := range r.blocks {
			r.b.raw(b.json)
		}
		r.b.close(']')
	}
	r.b.close('}')
}

// block writes a text block.
func (b *buffer) block(text value) {
	b.open('{')
	b.textMember("type", "text")
	b.member("text", text)
	b.close('}')
}

// text adds a text to the present message. Empty ones are left out, because the Messages API
// refuses them.
func (r *messagesRequest) text(text value) {
	if !text.is("") {
		var b buffer
		b.block(text)
		r.blocks = append(r.blocks, messageBlock{value(b), text})
	}
}

// thought adds a thought of an earlier turn.
func (r *messagesRequest) thought(v value) {
	if v.kind() != '"' || v.is("") {
		return
	}
	var b buffer
	b.literal(`{"type":"thinking"`)
	b.member("thinking", v)
	b.literal(`"signature":""`)
	b.close('}')
	r.blocks = append(r.blocks, messageBlock{json: value(b)})
	r.spare |= spareSigned
}

// content adds the content of a message: a string, or a list of parts.
func (r *messagesRequest) content(v value) error {
	switch v.kind() {
	case 'n':
		return nil
	case '"':
		r.text(v)
		return nil
	case '[':
	default:
		return wrong("Input should be a valid string or a list of parts")
	}
	for i, p := range v.elements() {
		if t := p.member("type"); t.is("text") || t.is("refusal") {
			if err := r.only("messages.content", p, "type", "text", "refusal"); err != nil {
				return at(i, err)
			}
			r.text(p.member(t.text()))
			continue
		}
		b, err := r.medium(p)
		if err != nil {
			return at(i, err)
		}
		r.blocks = append(r.blocks, messageBlock{json: b})
	}
	return nil
}

// medium returns the block of an image or of a PDF.
func (r *messagesRequest) medium(p value) (value, error) {
	var b buffer
	switch typ := p.member("type").text(); typ {
	case "image_url":
		url, err := r.imageURL(p)
		if err != nil {
			return nil, err
		}
		b.literal(`{"type":"image"`)
		if err := b.source(url); err != nil {
			return nil, at(typ, at("url", err))
		}
	case "file":
		file := p.member("file")
		if err := r.only("messages.content.file", file, "file_data", "filename"); err != nil {
			return nil, at(typ, err)
		}
		b.literal(`{"type":"document"`)
		if err := b.source(file.member("file_data")); err != nil {
			return nil, at(typ, at("file_data", err))
		}
		b.member("title", file.member("filename"))
	default:
		return nil, at("type", wrong("the Messages API has no parts of type '%s'; use a backend with the protocol openai", shortened(typ, 60)))
	}
	b.close('}')
	return value(b), r.only("messages.content", p, "type", "image_url", "file")
}

// source writes the source of a medium: the data of a data: URL, or the URL.
func (b *buffer) source(url value) error {
	if url.kind() != '"' {
		return wrong("Input should be a valid string")
	}
	b.key("source")
	if kind, data, ok := inlineData(url); ok {
		b.literal(`{"type":"base64"`)
		b.member("media_type", value(`"`+kind+`"`))
		b.member("data", data)
		b.close('}')
		return nil
	}
	if !strings.HasPrefix(url.text(), "http") {
		return wrong("Input should be a URL that begins with http:// or https://, or data: with base64")
	}
	b.literal(`{"type":"url"`)
	b.member("url", url)
	b.close('}')
	return nil
}

// called adds a tool call of an earlier turn.
func (r *messagesRequest) called(v value) error {
	c, err := r.call(v)
	if err != nil {
		return err
	}
	var b buffer
	b.literal(`{"type":"tool_use"`)
	b.member("id", c.id)
	b.member("name", c.name)
	b.member("input", c.arguments)
	b.close('}')
	r.blocks = append(r.blocks, messageBlock{json: value(b)})
	return nil
}

// result adds the result of a tool call, before everything else that the user says in the turn.
func (r *messagesRequest) result(id, content value) error {
	var b buffer
	b.literal(`{"type":"tool_result"`)
	b.member("tool_use_id", id)
	b.key("content")
	if content.kind() == '[' {
		b.open('[')
		for i, p := range content.elements() {
			if text := p.member("text"); text.kind() == '"' {
				if err := r.only("messages.content", p, "type", "text"); err != nil {
					return at("content", at(i, err))
				}
				if !text.is("") {
					b.block(text)
				}
				continue
			}
			m, err := r.medium(p)
			if err != nil {
				return at("content", at(i, err))
			}
			b.raw(m)
		}
		b.close(']')
	} else if content.kind() == '"' {
		b.raw(content)
	} else {
		b.literal(`""`)
	}
	b.close('}')
	first := slices.IndexFunc(r.blocks, func(b messageBlock) bool { return !bytes.HasPrefix(b.json, []byte(`{"type":"tool_result"`)) })
	if first < 0 {
		first = len(r.blocks)
	}
	r.blocks = slices.Insert(r.blocks, first, messageBlock{json: value(b)})
	return nil
}

// documents reads Cohere's documents, which chat templates have a place for and the Messages API
// has not. They become texts before the last question.
func (r *messagesRequest) documents(v value) {
	for _, d := range v.elements() {
		var t textBuffer
		t.say("<document>")
		t.add(d)
		for name, m := range d.members() {
			if m.kind() == '"' {
				t.say(name + ":")
				t.add(m)
			}
		}
		t.say("</document>")
		r.texts = append(r.texts, t.value())
	}
	if len(r.texts) > 0 {
		r.changes.Map("documents")
	}
}
