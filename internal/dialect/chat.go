package dialect

import (
	"strconv"
	"sync"

	"github.com/batholith/batholith"
)

// chat builds the body of an OpenAI /chat/completions request. Messages are written
// immediately, in order. Parameters are collected and written at the end, so that a later value
// replaces an earlier one of the same name.
type chat struct {
	buffer
	params  []param
	message turn       // the message that is being read
	held    turn       // a message that is not written yet: the next one may have the same role and is then joined
	last    string     // role of the last message
	made    []toolCall // of the last message, if last is calledLast
	spare   batholith.Spare
	changes batholith.Changes

	documents int // how many documents were read
}

// dropped records a member that is not sent. name is its path in the body without array
// positions, such as "messages.content.cache_control". The manifest counts records by these
// names.
func (c *chat) dropped(name string) { c.changes.Drop(name) }

// mapped records a member that is sent as something with nearly the same meaning.
func (c *chat) mapped(name string) { c.changes.Map(name) }

// param is a member of the request.
type param struct {
	name string
	raw  value
}

// chats reuses the memory of finished requests.
var chats = sync.Pool{New: func() any { return &chat{params: make([]param, 0, 12)} }}

// newChat starts a request. size is the expected length in bytes.
func newChat(model string, size int) *chat {
	c := chats.Get().(*chat)
	c.buffer = newBuffer(size + 512)
	c.open('{')
	c.textMember("model", model)
	c.key("messages")
	c.open('[')
	return c
}

// set sets a parameter; null removes it.
func (c *chat) set(name string, v value) {
	if (name == "stop" || name == "documents") && v.kind() == '[' && !v.filled() {
		v = nil // some client libraries write an empty list, which OpenAI rejects
	}
	for i := range c.params {
		if c.params[i].name == name {
			c.params[i].raw = v
			return
		}
	}
	c.params = append(c.params, param{name, v})
}

// call finishes the request. c must not be used afterwards.
func (c *chat) call() batholith.Call {
	c.flush()
	c.close(']')
	if c.last == "assistant" {
		// The client has begun the answer: the server must continue it without a new turn, and
		// without thoughts before it.
		c.set("continue_final_message", value("true"))
		c.set("add_generation_prompt", value("false"))
		c.spare |= spareContinue
		if c.param("chat_template_kwargs").absent() && c.param("reasoning_effort").absent() {
			c.thinking(false)
			c.spare |= spareThinking
		}
	}
	serverTools := c.parameters()
	c.close('}')
	call := batholith.Call{Path: chatPath, Body: c.buffer, ServerTools: serverTools, Changes: c.changes, Spare: c.spare | spareForm}
	c.forget()
	chats.Put(c)
	return call
}

// forget clears c and keeps its memory for the next request.
func (c *chat) forget() {
	c.message.reset("")
	c.held.reset("")
	parts, held := c.message.parts[:cap(c.message.parts)], c.held.parts[:cap(c.held.parts)]
	clear(c.params)
	clear(parts)
	clear(held)
	*c = chat{params: c.params[:0], message: turn{parts: parts[:0]}, held: turn{parts: held[:0]}}
}

// parameters writes the parameters in the order in which they were first set. serverTools
// reports whether the server runs tools of its own because of them.
func (c *chat) parameters() (serverTools bool) {
	for _, p := range c.params {
		if !p.raw.absent() {
			c.anyKey(p.name)
			c.raw(p.raw)
			serverTools = serverTools || serverRun(p.name, p.raw)
		}
	}
	return serverTools
}

// tool is the definition of a function that the model may call. schema is its JSON Schema.
type tool struct {
	name, description, schema, strict value
}

// tool writes the definition of a function in OpenAI's format.
func (b *buffer) tool(t tool) {
	b.open('{')
	b.textMember("type", "function")
	b.key("function")
	b.open('{')
	b.member("name", t.name)
	b.member("description", t.description)
	b.member("parameters", t.schema)
	b.member("strict", t.strict)
	b.close('}')
	b.close('}')
}

// forcedTool returns the tool_choice that forces one tool.
func forcedTool(name value) value {
	var b buffer
	b.open('{')
	b.textMember("type", "function")
	b.key("function")
	b.open('{')
	b.member("name", name)
	b.close('}')
	b.close('}')
	return value(b)
}

// jsonSchema returns the response_format that requires an answer according to a schema. name
// and description may be nil.
func jsonSchema(name, description, schema value) value {
	if name.absent() {
		name = value(`"answer"`)
	}
	var b buffer
	b.open('{')
	b.textMember("type", "json_schema")
	b.key("json_schema")
	b.open('{')
	b.member("name", name)
	b.member("description", description)
	b.member("schema", schema)
	b.literal(`"strict":true`)
	b.close('}')
	b.close('}')
	return value(b)
}

// thinking turns the model's reasoning on or off. vLLM, SGLang and llama.cpp pass
// chat_template_kwargs to the chat template. It is sent only if the body asks for it, because
// OpenAI rejects the member.
func (c *chat) thinking(on bool) {
	c.set("chat_template_kwargs", value(`{"enable_thinking":`+strconv.FormatBool(on)+`}`))
}

// budget limits the tokens of the model's thoughts. Each server has a member of its own: vLLM
// thinking_token_budget, llama.cpp thinking_budget_tokens, SGLang custom_params.thinking_budget;
// some chat templates read thinking_budget. Servers ignore the members of the others, or refuse
// them: see spareBudget.
func (c *chat) budget(tokens value) {
	if tokens.absent() {
		return
	}
	n := string(tokens)
	c.set("chat_template_kwargs", value(`{"enable_thinking":true,"thinking_budget":`+n+`}`))
	c.set("thinking_token_budget", tokens)
	c.set("thinking_budget_tokens", tokens)
	c.set("custom_params", value(`{"thinking_budget":`+n+`}`))
	c.spare |= spareBudget
}

// readThinking reads the reasoning switch of Anthropic's and Amazon's models:
// {"type":"enabled","budget_tokens":…}.
func (c *chat) readThinking(o *members, v value) error {
	var typ, effort, budget value
	err := c.readObject(o, v, func(name string, v value) error {
		switch name {
		case "type":
			typ = v
		case "budget_tokens":
			budget = v
		case "maxReasoningEffort":
			effort = v
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch typ.text() {
	case "enabled", "adaptive":
		c.thinking(true)
		c.budget(budget)
	case "disabled":
		c.thinking(false)
		return nil
	default:
		return at("type", wrong("Input should be 'enabled', 'adaptive' or 'disabled'"))
	}
	if effort.absent() {
		return nil
	}
	return at("maxReasoningEffort", c.effort(o.rules["maxReasoningEffort"].path, effort))
}

// effort sets the reasoning effort. All servers know low, medium and high (vLLM, SGLang,
// llama.cpp: reasoning_effort), so other values are mapped to the nearest. path is the member's
// name for the manifest.
func (c *chat) effort(path string, v value) error {
	switch word := v.text(); word {
	case "low", "medium", "high":
		c.set("reasoning_effort", v)
	case "minimal":
		c.mapped(path)
		c.set("reasoning_effort", value(`"low"`))
	case "xhigh", "max":
		c.mapped(path)
		c.set("reasoning_effort", value(`"high"`))
	default:
		return wrong("Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
	}
	return nil
}

// addTools appends definitions, a JSON list, to the request's tools.
func (c *chat) addTools(list value) {
	if len(list) <= len("[]") {
		return
	}
	for i := range c.params {
		if c.params[i].name == "tools" && !c.params[i].raw.absent() {
			old := c.params[i].raw
			both := append(value(nil), old[:len(old)-1]...)
			c.params[i].raw = append(append(both, ','), list[1:]...)
			return
		}
	}
	c.set("tools", list)
}

// param returns the value of a parameter, or nil.
func (c *chat) param(name string) value {
	for _, p := range c.params {
		if p.name == name {
			return p.raw
		}
	}
	return nil
}

// choosable drops tool_choice if there are no tools: gateways always send one, and servers
// reject it. A choice that forces a tool is an error without tools. path is the member's place
// in the body.
func (c *chat) choosable(path string) error {
	choice := c.param("tool_choice")
	if choice.absent() || !c.param("tools").absent() {
		return nil
	}
	if forced(choice) {
		return at(path, wrong("there are no tools to choose from; give tools, or leave it out"))
	}
	c.set("tool_choice", nil)
	c.set("parallel_tool_calls", nil)
	c.dropped(path)
	return nil
}
