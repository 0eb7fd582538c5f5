package dialect

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/batholith/batholith"
)

// openai translates the chat completions API, which most open models have on Bedrock. The body
// is sent to the server almost unchanged, with the server's model name. A minimal body:
//
//	{"messages":[{"role":"user","content":"Hello"}],"max_tokens":512}
type openai struct {
	Options
	mistral bool // the body may have Mistral's additional members
	// tagged puts thoughts before the answer's text as <reasoning>…</reasoning> (Bedrock:
	// gpt-oss with InvokeModel).
	tagged bool
}

// request copies the body member by member, in order. Unknown members are passed on, because
// the server has the same API. Members that every server would reject, or that a batch cannot
// have, are errors. The body is read once.
func (d openai) request(body value, model string) (batholith.Call, error) {
	r := openaiRequest{openai: d, body: body, backend: model, b: newBuffer(len(body) + len(model) + 32)}
	r.b.open('{')
	r.b.textMember("model", model)
	body.object(0, r.member)
	spare := spareForm
	// The last message is the beginning of the answer: see chat.call.
	if r.begun {
		r.b.literal(`"continue_final_message":true,"add_generation_prompt":false`)
		spare |= spareContinue
		if body.member("chat_template_kwargs").absent() && body.member("reasoning_effort").absent() {
			r.b.literal(`"chat_template_kwargs":{"enable_thinking":false}`)
			spare |= spareThinking
		}
	}
	r.b.close('}')
	if r.unfit == nil {
		r.unfit = needArray("messages", r.messages)
	}
	if r.unfit != nil {
		return batholith.Call{}, hintConverse(body, r.unfit)
	}
	if r.badMessage != nil {
		return batholith.Call{}, r.badMessage
	}
	for _, name := range r.files.changes.Mapped {
		r.changes.Map(name)
	}
	for _, name := range r.files.changes.Dropped {
		r.changes.Drop(name)
	}
	return batholith.Call{Path: chatPath, Body: r.b, ServerTools: r.serverTools, Changes: r.changes, Spare: spare}, nil
}

// openaiRequest is the state of request.
type openaiRequest struct {
	openai
	body    value
	backend string // the server's model name
	b       buffer
	changes batholith.Changes

	messages          value
	unfit, badMessage error // errors of the body and of a message
	odd               bool  // a message has Mistral's own form, or a file, which evened must convert
	files             chat  // counts them
	begun             bool  // the last message is the beginning of the answer
	serverTools       bool
}

// member copies the member whose value begins at body[from], or leaves it out. It returns the
// position after it.
func (r *openaiRequest) member(raw value, from int) (end int) {
	var bad error
	if raw.is("messages") {
		end, bad = r.look(from)
	} else {
		end = skip(r.body, from)
	}
	v := r.body[from:end]
	if v.absent() {
		return end
	}
	rule := r.table().rule(raw)
	if rule == nil {
		if name := raw.text(); strings.HasPrefix(name, guardrailPrefix) {
			r.blame(noMore(name, v))
			return end
		} else {
			r.serverTools = r.serverTools || serverRun(name, v)
			r.b.anyKey(name)
			r.b.raw(v)
		}
		return end
	}
	if rule.name == "messages" {
		r.messages, r.badMessage = v, bad
	}
	r.known(rule, v)
	return end
}

// table returns the table of members.
func (d openai) table() *members {
	if d.mistral {
		return mistralChatBody
	}
	return openaiBody
}

// blame keeps the first error.
func (r *openaiRequest) blame(err error) {
	if r.unfit == nil {
		r.unfit = err
	}
}

// known copies a member that has a rule, unless the rule keeps it from the server.
func (r *openaiRequest) known(rule *rule, v value) {
	taken, err := rule.admit(&r.changes, v)
	if r.blame(err); !taken {
		return
	}
	name := rule.name
	if rule.to != "" {
		name = rule.to
	}
	switch name {
	case "model":
		r.blame(r.model(v, r.backend))
		return
	// stream: false is accepted, because client libraries send it; it is not passed on.
	case "stream":
		if v.kind() != 'f' {
			r.blame(at(name, wrong("a batch record cannot be streamed; leave it out or give false")))
		}
		return
	case "messages":
		if r.odd && r.badMessage == nil {
			v = r.evened(v)
		}
	case "stop":
		if v.kind() == '[' && !v.filled() {
			return // some client libraries write an empty list, which OpenAI rejects
		}
		if v.kind() != '"' {
			r.blame(wantStrings(name, v))
		}
	case "tools", "tool_choice", "parallel_tool_calls":
		if v = r.tooling(name, v); v == nil {
			return
		}
	}
	r.b.member(name, v)
}

// tooling returns the value of a member about tools as the server gets it; nil leaves it out.
// Without tools all of them are left out: client libraries write an empty list.
func (r *openaiRequest) tooling(name string, v value) value {
	switch {
	case !r.body.member("tools").filled():
		switch {
		case name == "tool_choice" && forced(v):
			r.blame(at(name, wrong("there are no tools to choose from; give tools, or leave it out")))
		case name != "tools":
			r.changes.Drop(name)
		}
		return nil
	case name == "tools":
		r.serverTools = r.serverTools || serverRun(name, v)
	case name == "tool_choice" && v.is("any"): // Mistral's word for "required"
		return value(`"required"`)
	}
	return v
}

// model checks that the body names the job's model, by any of its names.
func (d openai) model(v value, backend string) error {
	if v.kind() != '"' {
		return wantString("model", v)
	}
	names := d.Names // the job's model may be named by id or alias
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

// look checks the form of each message. Content may be null, and roles differ between models.
// The array begins at body[from]; it returns the position after it. A value that is not an
// array is skipped.
func (r *openaiRequest) look(from int) (end int, err error) {
	if r.body[from:].kind() != '[' {
		return skip(r.body, from), nil
	}
	n := 0
	end = r.body.array(from, func(i, from int) (end int) {
		n++
		if err != nil {
			return skip(r.body, from)
		}
		end, err = r.looked(i, from)
		return end
	})
	if n == 0 {
		err = at("messages", wrong("at least one message is required"))
	}
	return end, err
}

// looked checks message i, which begins at body[from], and returns the position after it.
func (r *openaiRequest) looked(i, from int) (end int, err error) {
	body := r.body
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
		case name.is("tool_calls"), name.is("prefix"):
			r.odd = true
		}
		return end
	})
	if err := needString("role", role); err != nil {
		return end, at("messages", at(i, err))
	}
	for j, block := range content.elements() {
		if err := r.part(block); err != nil {
			return end, hintConverse(body, at("messages", at(i, at("content", at(j, err)))))
		}
	}
	return end, nil
}

// part checks one part of a message's content.
func (r *openaiRequest) part(block value) error {
	typ := block.member("type")
	switch {
	case typ.is("image_url"):
		r.odd = r.odd || block.member("image_url").kind() == '"'
	case typ.is("document_url"), typ.is("file"):
		r.odd = true
		_, _, _, _, err := filePart(block)
		return err
	}
	return needString("type", typ)
}

// answer copies the server's answer member by member, without null members and with the job's
// model id. It adds members that OpenAI's format requires.
func (d openai) answer(input value, call batholith.Call, body []byte) (batholith.Answer, error) {
	doc, err := answerObject(body)
	if err != nil {
		return batholith.Answer{}, err
	}
	a := batholith.Answer{}
	choices := 0 // number of choices in the answer
	b := make(buffer, 0, len(doc)+64)
	b.open('{')
	for name, v := range doc.present() {
		if name == "error" {
			continue
		}
		b.anyKey(name)
		switch name {
		case "model":
			a.Model = v.text()
			b.text(d.shown(a.Model))
		case "choices":
			if choices, err = d.choices(&b, v); err != nil {
				return batholith.Answer{}, err
			}
		case "usage":
			a.Tokens = usage(v)
			b.clean(v)
		default:
			b.raw(v)
		}
	}
	b.close('}')
	if choices == 0 {
		return batholith.Answer{}, nonsense("it has no choices")
	}
	a.Output = b
	return a, nil
}

// choices copies every choice; there are several if the body has n > 1. Each must be complete.
func (d openai) choices(b *buffer, v value) (n int, err error) {
	b.open('[')
	for _, choice := range v.elements() {
		var c completion
		if err := c.chosen(choice); err != nil {
			return 0, err
		}
		if c.message.kind() != '{' {
			return 0, nonsense("a choice has no message")
		}
		if err := c.chat(); err != nil && !errors.Is(err, ErrModel) { // an invalid tool call is passed on as the model wrote it
			return 0, err
		}
		d.choice(b, c)
		n++
	}
	b.close(']')
	return n, nil
}

// choice copies one choice. finish_reason is converted to OpenAI's words. A refusal ends with
// "stop" and has a member of its own (OpenAI: refusal).
func (d openai) choice(b *buffer, c completion) {
	told := false
	if !c.refusal.absent() && c.told != "" {
		c.finish = c.told
	}
	b.open('{')
	for raw, m := range c.choice.fields() {
		if m.absent() && !raw.is("finish_reason") {
			continue
		}
		switch name := raw.text(); {
		case name == "finish_reason":
			told = true
			b.key(name)
			if c.finish == endTools && m.is("function_call") { // OpenAI's word for its old form with a single call
				b.raw(m)
			} else {
				b.text(c.finish)
			}
		case name == "error":
		case name == "message":
			b.key(name)
			d.message(b, m, c)
		default:
			b.anyKey(name)
			b.raw(m)
		}
	}
	if !told {
		b.textMember("finish_reason", c.finish)
	}
	b.close('}')
}

// message copies a message without null members, and without an empty list of tool calls.
// content is always present, null beside tool calls, because clients expect it.
func (d openai) message(b *buffer, message value, c completion) {
	told := false
	b.open('{')
	for raw, v := range message.fields() {
		if v.absent() && !raw.is("content") {
			continue
		}
		switch name := raw.text(); {
		case name == "content":
			if told {
				continue
			}
			told = true
			d.content(b, c)
			if v.kind() == '[' && !d.tagged && message.member("reasoning_content").absent() {
				b.member("reasoning_content", c.reasoning) // thoughts that were among the parts of the content
			}
		case name == "tool_calls" && v.len() == 0:
		case d.tagged && (name == "reasoning_content" || name == "reasoning"):
		case name == "tool_calls":
			b.key(name)
			d.calls(b, v, c)
		default:
			b.anyKey(name)
			b.raw(v)
		}
	}
	if !told {
		d.content(b, c)
	}
	b.close('}')
}

// content writes the text of a message, or null if there is none.
func (d openai) content(b *buffer, c completion) {
	var thought value
	if d.tagged {
		thought = c.reasoning
	}
	if b.tagged(thought, c.text); c.text.absent() && thought.absent() {
		b.literal(`"content":null`)
	}
}

// calls copies tool calls in OpenAI's form: with an id, a type, and arguments as a string.
func (d openai) calls(b *buffer, v value, c completion) {
	b.open('[')
	for i, e := range v.elements() {
		f := e.member("function")
		typ, args := e.member("type"), f.member("arguments")
		switch {
		case !typ.absent() && !typ.is("function"):
			b.raw(e)
			continue
		case f.member("name").text() == "" && (args.absent() || args.is("")):
			continue
		case e.member("id").kind() == '"' && typ.is("function") && args.kind() == '"' && !args.is("") && !args.is("null"):
			b.raw(e)
			continue
		}
		b.open('{')
		if id := e.member("id").text(); id != "" {
			b.textMember("id", id)
		} else {
			b.textMember("id", c.name("call_")+"_"+strconv.Itoa(i))
		}
		b.literal(`"type":"function"`)
		b.key("function")
		b.open('{')
		b.member("name", f.member("name"))
		b.key("arguments")
		switch {
		case args.kind() == '"' && !args.is("") && !args.is("null"):
			b.raw(args)
		case args.kind() == '{':
			b.quoted(args)
		default:
			b.literal(`"{}"`)
		}
		b.close('}')
		b.close('}')
	}
	b.close(']')
}

// tagged writes the content, with the reasoning before it if there is any.
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

// clean copies an object without null members.
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
