package dialect

import (
	"bytes"
	"slices"
	"strings"

	"github.com/batholith/batholith"
)

// messagesRequest builds a request of the Messages API from one of /chat/completions.
type messagesRequest struct {
	b        buffer // the messages, without the brackets around them
	rest     buffer // the other members, without the braces
	messages value
	system   []value        // texts of the system prompt
	texts    []value        // documents, as texts
	turn     string         // role of the message that is being written; "": none
	blocks   []messageBlock // of this message

	limit, heat   value // max_tokens, temperature
	likely        bool  // top_p is given
	thinks        value // true, false, or absent: not said
	effort        value
	budget        value // of thinking, in tokens
	format        value // JSON Schema of the answer
	tools, choice value // in the form of the Messages API
	apart         bool  // no parallel tool calls

	narrow
}

// messageBlock is one content block, as JSON. plain is its text if it is nothing but a text.
type messageBlock struct{ json, plain value }

const (
	// defaultLimit is the limit of output tokens if the body has none, which the Messages API
	// requires. Every Claude model accepts it.
	defaultLimit = 4096
	// leastThinking is the smallest budget of thinking in tokens (Anthropic: extended thinking).
	leastThinking = 1024
)

// request implements leg.
func (anthropicLeg) request(hub batholith.Call) (batholith.Call, error) {
	body := trim(hub.Body)
	r := messagesRequest{b: newBuffer(len(body) + 256), narrow: newNarrow("the Messages API", hub.Changes)}
	defer func() { Discard(batholith.Call{Body: r.b}) }()
	model := value(`""`)
	for raw, v := range body.fields() {
		name := raw.text()
		if name == "model" {
			model = v
			continue
		}
		if v.absent() {
			continue
		}
		if err := at(name, r.member(name, v)); err != nil {
			return batholith.Call{}, err
		}
	}
	if err := r.conversation(); err != nil {
		return batholith.Call{}, err
	}
	r.settings()
	b := make(buffer, 0, len(r.b)+len(r.rest)+len(model)+64)
	b.open('{')
	b.member("model", model)
	if len(r.rest) > 0 {
		b.raw(r.rest)
	}
	b.key("messages")
	b.open('[')
	b = append(b, r.b...)
	b.close(']')
	b.close('}')
	return batholith.Call{Path: messagesPath, Body: b, ServerTools: hub.ServerTools, Changes: r.changes, Spare: r.spare}, nil
}

// member reads one member of the request. Errors are relative to it.
func (r *messagesRequest) member(name string, v value) error {
	switch name {
	case "messages":
		r.messages = v
	case "max_tokens", "max_completion_tokens":
		r.limit = v
	case "temperature":
		r.heat = v
	case "top_p":
		r.likely = true
		r.rest.member(name, v)
	case "top_k":
		if n, ok := v.integer(); ok && n > 0 { // vLLM: -1 and 0 mean all
			r.rest.member(name, v)
		}
	case "stop":
		r.rest.member("stop_sequences", stops(v))
	case "tools":
		return r.definitions(v)
	case "tool_choice":
		return r.chosen(v)
	case "parallel_tool_calls":
		r.apart = v.kind() == 'f'
	case "chat_template_kwargs":
		return r.template(v, func(on value) { r.thinks = on })
	case "reasoning_effort":
		r.effort = v
	case "thinking_token_budget":
		r.budget = v
	case "thinking_budget_tokens", "custom_params": // the budget, for other servers
		if r.only("", v, "thinking_budget") != nil {
			return r.lacks()
		}
	case "response_format":
		return r.formatted(v)
	case "documents":
		r.documents(v)
	case "user":
		r.changes.Map(name)
		var b buffer
		b.open('{')
		b.member("user_id", v)
		b.close('}')
		r.rest.member("metadata", value(b))
	case "continue_final_message", "add_generation_prompt", "add_special_tokens", "stream", "stream_options":
		// The Messages API continues the last message if it is the assistant's.
	default:
		return r.guide(name, v)
	}
	return nil
}

// guide drops members that only guide the choice of words, and refuses those whose absence the
// answer would show.
func (r *messagesRequest) guide(name string, v value) error {
	switch name {
	case "frequency_penalty", "presence_penalty", "min_p":
		if v.number() == 0 {
			return nil
		}
	case "repetition_penalty", "n":
		if v.number() == 1 {
			return nil
		}
	}
	return r.other(name, v, "seed", "frequency_penalty", "presence_penalty", "min_p", "repetition_penalty")
}

// formatted reads response_format.
func (r *messagesRequest) formatted(v value) error {
	if err := r.only("response_format", v, "type", "json_schema"); err != nil {
		return err
	}
	switch typ := v.member("type").text(); typ {
	case "text":
	case "json_schema":
		schema := v.member("json_schema").member("schema")
		err := r.only("response_format.json_schema", v.member("json_schema"), "name", "description", "schema", "strict")
		if err := first(err, needObject("schema", schema)); err != nil {
			return at("json_schema", err)
		}
		r.format = schema
	default:
		return at("type", wrong("the Messages API knows json_schema, and not '%s'; give a schema, or use a backend with the protocol openai", typ))
	}
	return nil
}

// definitions reads tools.
func (r *messagesRequest) definitions(v value) error {
	if !v.filled() {
		return nil
	}
	var b buffer
	b.open('[')
	for i, t := range v.elements() {
		f := t.member("function")
		if typ := t.member("type"); f.kind() != '{' || !typ.absent() && !typ.is("function") {
			return at(i, at("type", r.lacks()))
		}
		err := first(r.only("tools", t, "type", "function"), at("function", r.only("tools.function", f, "name", "description", "parameters", "strict")))
		if err != nil {
			return at(i, err)
		}
		b.open('{')
		b.member("name", f.member("name"))
		b.member("description", f.member("description"))
		schema := f.member("parameters")
		if schema.absent() {
			schema = value(`{"type":"object","properties":{}}`)
		}
		b.member("input_schema", schema)
		if strict := f.member("strict"); strict.isTrue() {
			b.member("strict", strict)
		}
		b.close('}')
	}
	b.close(']')
	r.tools = value(b)
	return nil
}

// chosen reads tool_choice.
func (r *messagesRequest) chosen(v value) error {
	name := v.member("function").member("name")
	if err := first(r.only("tool_choice", v, "type", "function"), at("function", r.only("tool_choice.function", v.member("function"), "name"))); err != nil {
		return err
	}
	switch {
	case v.is("auto"), v.is("none"):
		r.choice = value(`{"type":` + string(v) + `}`)
	case v.is("required"):
		r.choice = value(`{"type":"any"}`)
	case name.kind() == '"':
		r.choice = value(`{"type":"tool","name":` + string(name) + `}`)
	default:
		return r.lacks()
	}
	return nil
}

// settings writes the members that depend on each other, after all have been read.
func (r *messagesRequest) settings() {
	limit, ok := r.limit.integer()
	if r.limit.absent() {
		limit, ok = defaultLimit, true
		r.rest.integerMember("max_tokens", limit)
	} else {
		r.rest.member("max_tokens", r.limit)
	}
	if !r.heat.absent() {
		r.rest.member("temperature", r.heat)
		if r.heat.number() > 1 {
			r.spare |= spareHeat
		}
		if r.likely {
			r.spare |= spareTopP
		}
	}
	switch {
	case r.thinks.kind() == 'f', r.effort.is("none"):
		r.rest.literal(`"thinking":{"type":"disabled"}`)
		r.spare |= spareOff
	case r.thinks.isTrue() && ok && limit > leastThinking:
		// Without a budget, the other half of the limit is for the answer.
		r.rest.key("thinking")
		r.rest.literal(`{"type":"enabled"`)
		if !r.budget.absent() {
			r.rest.member("budget_tokens", r.budget)
		} else {
			r.rest.integerMember("budget_tokens", max(leastThinking, limit/2))
		}
		r.rest.close('}')
	case r.thinks.isTrue():
		r.changes.Drop("thinking")
	}
	r.config()
	r.rest.member("tools", r.tools)
	if r.tools.absent() || r.choice.absent() && !r.apart {
		return
	}
	choice := r.choice
	if choice.absent() {
		choice = value(`{"type":"auto"}`)
	}
	if r.apart && !choice.member("type").is("none") {
		choice = value(string(choice[:len(choice)-1]) + `,"disable_parallel_tool_use":true}`)
	}
	r.rest.member("tool_choice", choice)
}

// config writes output_config: the format of the answer, and the effort.
func (r *messagesRequest) config() {
	effort := r.effort
	if effort.is("none") {
		effort = nil
	}
	if r.format.absent() && effort.absent() {
		return
	}
	r.rest.key("output_config")
	r.rest.open('{')
	if !effort.absent() {
		r.rest.member("effort", effort)
		if r.format.absent() {
			r.spare |= spareEffort
		}
	}
	if !r.format.absent() {
		r.rest.key("format")
		r.rest.literal(`{"type":"json_schema"`)
		r.rest.member("schema", r.format)
		r.rest.close('}')
	}
	r.rest.close('}')
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

// conversation writes the messages. Those of one role in a row are one message; results of tools
// are the user's, and come first in it.
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
		b.member("media_type", told("", value(`"`+kind+`"`), ""))
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

// withoutThoughts copies messages without their blocks of thinking.
func (b *buffer) withoutThoughts(messages value) {
	b.open('[')
	for _, m := range messages.elements() {
		content := m.member("content")
		if content.kind() != '[' {
			b.raw(m)
			continue
		}
		b.open('{')
		b.member("role", m.member("role"))
		b.key("content")
		b.open('[')
		for _, c := range content.elements() {
			if !c.member("type").is("thinking") {
				b.raw(c)
			}
		}
		b.close(']')
		b.close('}')
	}
	b.close(']')
}
