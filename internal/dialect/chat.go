package dialect

import (
	"strconv"
	"sync"

	"github.com/batholith/batholith"
)

// chat is the body of an OpenAI /chat/completions request in the making. Messages are written at once, in order; parameters
// are kept until the end, so that a later one replaces an earlier one of the same name.
type chat struct {
	buffer
	params  []param
	message turn   // the one that is being read
	held    turn   // the one that is not written yet: the next may be of the same role
	last    string // role of the last message
	spare   batholith.Spare
	changes batholith.Changes
}

// dropped notes a member of the body that the server is not told, by a name that is written in this package: where it stands in the body,
// without positions, as "messages.content.cache_control". The manifest counts the records by these names.
func (c *chat) dropped(name string) { c.changes.Drop(name) }

// mapped notes a member for which the server gets something that means nearly the same.
func (c *chat) mapped(name string) { c.changes.Map(name) }

// param is a member of the request as it will be written.
type param struct {
	name string
	raw  value
}

// chats are for requests to come.
var chats = sync.Pool{New: func() any { return &chat{params: make([]param, 0, 12)} }}

// newChat begins a request; size is a guess at how long it will be.
func newChat(model string, size int) *chat {
	c := chats.Get().(*chat)
	c.buffer = newBuffer(size + 512)
	c.open('{')
	c.textMember("model", model)
	c.key("messages")
	c.open('[')
	return c
}

// set gives a parameter its value; null leaves it out.
func (c *chat) set(name string, v value) {
	if (name == "stop" || name == "documents") && v.kind() == '[' && !v.filled() {
		v = nil // helpers write an empty list for none, and OpenAI refuses it
	}
	for i := range c.params {
		if c.params[i].name == name {
			c.params[i].raw = v
			return
		}
	}
	c.params = append(c.params, param{name, v})
}

// call ends the request. Nothing may be written afterwards.
func (c *chat) call() batholith.Call {
	c.flush()
	c.close(']')
	if c.last == "assistant" {
		// The client began the model's answer itself: the server is to go on, not to open a new turn, and not with a thought.
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

// forget leaves nothing in c but memory to use again.
func (c *chat) forget() {
	c.message.reset("")
	c.held.reset("")
	parts, held := c.message.parts[:cap(c.message.parts)], c.held.parts[:cap(c.held.parts)]
	clear(c.params)
	clear(parts)
	clear(held)
	*c = chat{params: c.params[:0], message: turn{parts: parts[:0]}, held: turn{parts: held[:0]}}
}

// parameters writes what was set, in the order in which it first was, and tells whether the server runs tools of its own for it.
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

// tool is a function that the model may call.
type tool struct {
	name, description, schema, strict value
}

// tool writes the definition of a function.
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

// forcedTool is the tool_choice that names one tool.
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

// jsonSchema is the response_format that holds the answer to a schema.
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

// thinking turns a model's thinking on or off. Chat templates read it from chat_template_kwargs (vLLM, SGLang, llama.cpp); it
// is sent only when the body says something about it, because OpenAI itself refuses the member.
func (c *chat) thinking(on bool) {
	c.set("chat_template_kwargs", value(`{"enable_thinking":`+strconv.FormatBool(on)+`}`))
}

// readThinking reads the switch of Anthropic's and Amazon's models: {"type":"enabled","budget_tokens":…}.
func (c *chat) readThinking(o *members, v value) error {
	var typ, effort value
	err := c.readObject(o, v, func(name string, v value) error {
		switch name {
		case "type":
			typ = v
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

// effort says how hard the model is to think, in the words that all servers have: low, medium, high (vLLM, SGLang, llama.cpp: reasoning_effort).
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

// addTools adds definitions of functions, a list, to those that are there already.
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

// param is the value of a parameter, or nil.
func (c *chat) param(name string) value {
	for _, p := range c.params {
		if p.name == name {
			return p.raw
		}
	}
	return nil
}

// choosable drops a choice among no tools, which servers refuse: gateways write one always. A choice that leaves the model no choice cannot be
// kept without tools, and is refused; path is where the body has it.
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
