package dialect

import (
	"strings"

	"github.com/batholith/batholith"
)

// anthropicBodies selects one of Claude's two body formats: messages, or one prompt that
// contains the turns. "messages" takes precedence.
func anthropicBodies(o Options) translator {
	var messages, text translator = anthropic{o}, claudeText{o}
	return alwaysChat{func(body value) (translator, error) {
		prompt := false
		for name, rest := range body.starts() {
			switch {
			case name.is("prompt"):
				prompt = !rest.absent()
			case name.is("messages") && !rest.absent():
				return messages, nil
			}
		}
		if prompt {
			return text, nil
		}
		return messages, nil
	}}
}

// anthropic translates the Messages API (Bedrock: Anthropic Claude Messages). A minimal body
// and its answer:
//
//	{"anthropic_version":"bedrock-2023-05-31","max_tokens":512,"messages":[{"role":"user","content":"Hello"}]}
//	{"id":"msg_…","type":"message","role":"assistant","model":"…","content":[{"type":"text","text":"Hi"}],
//	 "stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":8,"output_tokens":3,…}}
type anthropic struct{ Options }

// AnthropicVersion is the only value of anthropic_version that Bedrock accepts.
const AnthropicVersion = "bedrock-2023-05-31"

// request implements translator.
func (d anthropic) request(body value, model string) (batholith.Call, error) {
	// The writer starts with the server's model name. hintConverse improves an error that is
	// caused by a wrong invocation type.
	c := newChat(model, len(body))
	if err := d.body(c, body); err != nil {
		return batholith.Call{}, hintConverse(body, err)
	}
	return c.call(), nil
}

// body reads the members in any order. It writes the messages last, because the system prompt
// comes before them.
func (d anthropic) body(c *chat, body value) error {
	// These three need all other members first, so they are only collected here.
	var version, system, messages value
	err := c.read(claudeBody, body, func(name string, v value) error {
		switch name {
		case "anthropic_version":
			version = v
		case "messages":
			messages = v
		case "system":
			system = v
		default:
			return at(name, d.parameter(c, name, v))
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch {
	// Bedrock's order of checks: the first missing member is reported.
	case version.absent():
		return required("anthropic_version")
	case !version.is(AnthropicVersion):
		return at("anthropic_version", wrong("Input should be '%s'", AnthropicVersion))
	case c.param("max_tokens").absent():
		return required("max_tokens")
	case messages.absent():
		return required("messages")
	}
	return first(c.choosable("tool_choice"), d.system(c, system), d.messages(c, messages))
}

// parameter reads a member that is neither part of the conversation nor a parameter with the
// server's own name. Errors are relative to the member.
func (d anthropic) parameter(c *chat, name string, v value) error {
	switch name {
	case "tools":
		return d.tools(c, v)
	case "tool_choice":
		return d.toolChoice(c, claudeToolChoice, v)
	case "thinking":
		return c.readThinking(claudeThinking, v)
	case "output_format":
		return d.format(c, claudeOutputFormat, v)
	// output_config is the newer place of output_format.
	case "output_config":
		return d.outputConfig(c, claudeOutputConfig, claudeConfigFormat, v)
	}
	return nil
}

// outputConfig reads output_config: the format of the answer, and the reasoning effort.
func (d anthropic) outputConfig(c *chat, config, format *members, v value) error {
	return c.readObject(config, v, func(name string, v value) error {
		switch name {
		case "format":
			return at(name, d.format(c, format, v))
		case "effort":
			return at(name, c.effort(config.rules["effort"].path, v))
		}
		return nil
	})
}

// system reads the system prompt: a string or a list of text blocks. Empty texts are dropped:
// some chat templates have no system prompt, and gateways always send one.
func (d anthropic) system(c *chat, v value) error {
	// All blocks become one system message with several text parts.
	t := turn{role: "system"}
	switch v.kind() {
	case 'n':
	case '"':
		t.parts = addText(t.parts, v)
	case '[':
		for i, block := range v.elements() {
			if err := d.systemBlock(c, &t, block); err != nil {
				return at("system", at(i, err))
			}
		}
	default:
		return at("system", wrong("Input should be a valid string or a list of text blocks"))
	}
	if len(t.parts) > 0 {
		c.turn(&t)
	}
	return nil
}

// systemBlock reads one block of the system prompt.
func (d anthropic) systemBlock(c *chat, t *turn, block value) error {
	var text value
	if !block.member("type").is("text") {
		return at("type", wrong("Input should be 'text'"))
	}
	err := c.read(claudeSystem, block, func(name string, v value) error {
		if name == "text" {
			text = v
		}
		return nil
	})
	t.parts = addText(t.parts, text)
	return first(err, needString("text", text))
}

// addText appends a text part, unless the text is absent or empty.
func addText(parts []part, text value) []part {
	if len(text) <= len(`""`) {
		return parts
	}
	return append(parts, part{kind: "text", text: text})
}

// messages writes the conversation. chat.turn joins consecutive messages of one role.
func (d anthropic) messages(c *chat, v value) (err error) {
	if err := wantArray("messages", v); err != nil {
		return err
	}
	spoken := false // at least one message is not a system message
	v.array(0, func(i, from int) (end int) {
		if err != nil {
			return skip(v, from)
		}
		if end, err = d.message(c, v, from); err != nil {
			err = at("messages", at(i, err))
			return end
		}
		spoken = spoken || c.message.role != "system"
		c.turn(&c.message)
		return end
	})
	if err == nil && !spoken {
		err = at("messages", wrong("at least one message is required"))
	}
	return err
}

// message reads the message that begins at v[from] into c.message, and returns the position
// after it. It reads each byte once.
func (d anthropic) message(c *chat, v value, from int) (end int, err error) {
	t := &c.message
	if v[from:].kind() != '{' {
		return skip(v, from), wrong("Input should be an object")
	}
	var role value
	// The first error of an unknown member wins over errors of the content: it usually is the
	// cause.
	var unknown, unfit error
	said := false
	t.reset("")
	end = v.object(from, func(raw value, from int) (end int) {
		switch name := raw.text(); name {
		case "role":
			end = skip(v, from)
			role = v[from:end]
		case "content":
			t.reset("") // a duplicate member: the last one counts
			end, unfit = d.said(c, v, from)
			said = true
		default:
			end = skip(v, from)
			if unknown == nil && !v[from:end].absent() {
				unknown = noMore(name, nil)
			}
		}
		return end
	})
	switch {
	case unknown != nil:
		return end, unknown
	case role.absent():
		return end, required("role")
	case !role.is("user") && !role.is("assistant") && !role.is("system"):
		return end, at("role", wrong("Input should be 'user' or 'assistant'"))
	case !said:
		return end, required("content")
	}
	t.role = role.text()
	return end, unfit
}

// said reads the content of a message, a string or a list of blocks, and returns the position
// after it.
func (d anthropic) said(c *chat, v value, from int) (end int, err error) {
	t := &c.message
	if v[from:].kind() == '[' {
		end, err = d.blocks(c, v, from)
		return end, at("content", err)
	}
	end = skip(v, from)
	switch v[from:].kind() {
	case 'n':
		return end, required("content")
	case '"':
		t.parts = append(t.parts, part{kind: "text", text: v[from:end]})
		return end, nil
	}
	return end, at("content", wrong("Input should be a valid string or a list of content blocks"))
}

// tools reads tool definitions. Tools with one of Anthropic's types have no definition in the
// body, only a name that Claude knows.
func (d anthropic) tools(c *chat, v value) error {
	if err := wantArray("", v); err != nil {
		return wrong("Input should be a valid list")
	}
	var b buffer
	b.open('[')
	for i, e := range v.elements() {
		if err := d.tool(c, &b, e); err != nil {
			return at(i, err)
		}
	}
	b.close(']')
	c.addTools(value(b))
	return nil
}

// tool writes one definition to b, in OpenAI's format.
func (d anthropic) tool(c *chat, b *buffer, e value) error {
	// A tool without a type is a custom tool.
	switch typ := e.member("type"); {
	case typ.is("function"):
		return at("type", wrong("Input should be 'custom', or absent; Claude's tools have name, description and input_schema"))
	case !typ.absent() && !typ.is("custom"):
		return at("type", unservedTool(typ.text()))
	}
	var t tool
	var examples value
	err := c.readObject(claudeTool, e, func(name string, v value) error {
		switch name {
		case "name":
			t.name = v
		case "description":
			t.description = v
			return wantString(name, v)
		case "input_schema":
			t.schema = v
		case "strict":
			t.strict = v
		case "input_examples":
			examples = v
			return wantArray(name, v)
		}
		return nil
	})
	if err := first(err, needString("name", t.name), needObject("input_schema", t.schema)); err != nil {
		return err
	}
	// Chat templates have no place for examples.
	t.description = withExamples(t.description, examples)
	b.tool(t)
	return nil
}

// clientTools are prefixes of the types of Anthropic's tools that the client runs, whose
// definitions only Claude knows.
var clientTools = []string{"bash_", "text_editor_", "computer_", "memory_"}

// unservedTool is the error for a tool with one of Anthropic's types.
func unservedTool(typ string) error {
	for _, prefix := range clientTools {
		if strings.HasPrefix(typ, prefix) {
			return wrong("the definition of the tool '%s' is built into Claude, and other models do not know it; define it as a custom tool: name, description, input_schema", typ)
		}
	}
	return wrong("'%s' is a tool that Anthropic runs, and Batholith cannot run it; leave it out, or give a custom tool that the client runs", typ)
}

// withExamples appends examples of the tool's input to its description, because chat templates
// have no place for them.
func withExamples(description, examples value) value {
	if examples.len() == 0 {
		return description
	}
	var t textBuffer
	t.add(description)
	t.say(`Examples of its input:`)
	for _, e := range examples.elements() {
		t.say(string(e))
	}
	return t.value()
}

// toolChoice translates tool_choice: Anthropic's "any" is OpenAI's "required".
func (d anthropic) toolChoice(c *chat, o *members, v value) error {
	var typ, name value
	parallel := true
	err := c.readObject(o, v, func(member string, v value) error {
		switch member {
		case "type":
			typ = v
		case "name":
			name = v
		case "disable_parallel_tool_use":
			parallel = !v.isTrue()
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch typ.text() {
	case "auto":
		c.set("tool_choice", value(`"auto"`))
	case "any":
		c.set("tool_choice", value(`"required"`))
	case "none": // the tools stay in the prompt, but must not be called
		c.set("tool_choice", value(`"none"`))
	case "tool":
		if err := needString("name", name); err != nil {
			return err
		}
		c.set("tool_choice", forcedTool(name))
	default:
		return at("type", wrong("Input should be 'auto', 'any', 'tool' or 'none'"))
	}
	// OpenAI's name for the opposite of disable_parallel_tool_use.
	if !parallel {
		c.set("parallel_tool_calls", value("false"))
	}
	return nil
}

// format requests an answer that conforms to a JSON Schema (Bedrock: structured outputs).
func (d anthropic) format(c *chat, o *members, v value) error {
	var typ, schema value
	err := c.readObject(o, v, func(name string, v value) error {
		switch name {
		case "type":
			typ = v
		case "schema":
			schema = v
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !typ.is("json_schema") {
		return at("type", wrong("Input should be 'json_schema'"))
	}
	c.set("response_format", jsonSchema(nil, nil, schema))
	return needObject("schema", schema)
}
