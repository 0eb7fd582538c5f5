package dialect

import "github.com/batholith/batholith"

// anthropicBodies are two: messages, or one prompt with turns marked in it.
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

// anthropic is the Messages API (Bedrock: Anthropic Claude Messages).
type anthropic struct{ Options }

// anthropicVersion is the only one that Bedrock takes.
const anthropicVersion = "bedrock-2023-05-31"

func (d anthropic) request(body value, model string) (batholith.Call, error) {
	c := newChat(model, len(body))
	if err := d.body(c, body); err != nil {
		return batholith.Call{}, hintConverse(body, err)
	}
	return c.call(), nil
}

// body reads the members in any order; the messages are written last, because the system prompt comes before them.
func (d anthropic) body(c *chat, body value) error {
	var version, maxTokens, system, messages value
	err := body.each(func(name string, v value) error {
		switch name {
		case "anthropic_version":
			version = v
		case "max_tokens":
			maxTokens = v
			c.set("max_tokens", v)
		case "messages":
			messages = v
		case "system":
			system = v
		default:
			return d.parameter(c, name, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch {
	case version.absent():
		return required("anthropic_version")
	case !version.is(anthropicVersion):
		return at("anthropic_version", wrong("Input should be '%s'", anthropicVersion))
	case maxTokens.absent():
		return required("max_tokens")
	case messages.absent():
		return required("messages")
	}
	return first(wantCount("max_tokens", maxTokens, 1), d.system(c, system), d.messages(c, messages))
}

// anthropicParameters have the ranges of the Messages API (Bedrock: Anthropic Claude Messages, request).
var anthropicParameters = parameters{
	"temperature":    {"temperature", number(0, 1)},
	"top_p":          {"top_p", number(0, 1)},
	"top_k":          {"top_k", count(0)},
	"stop_sequences": {"stop", wantStrings},
}

// parameter takes everything but the conversation.
func (d anthropic) parameter(c *chat, name string, v value) error {
	switch name {
	case "tools":
		return at(name, d.tools(c, v))
	case "tool_choice":
		return at(name, d.toolChoice(c, v))
	case "thinking":
		return at(name, thinking(c, v))
	case "output_format":
		return at(name, d.format(c, v))
	case "output_config":
		return at(name, at("format", d.format(c, v.member("format"))))
	case "anthropic_beta", "metadata", "service_tier":
		return nil // say nothing to a model
	}
	return c.take(anthropicParameters, name, v)
}

// system is one text or a list of them; cache marks on the blocks are dropped, since servers find shared prefixes by themselves.
func (d anthropic) system(c *chat, v value) error {
	if v.absent() {
		return nil
	}
	t := turn{role: "system"}
	if v.kind() == '"' {
		t.parts = []part{{kind: "text", text: v}}
		c.turn(&t)
		return nil
	}
	if v.kind() != '[' {
		return at("system", wrong("Input should be a valid string or a list of text blocks"))
	}
	for i, block := range v.elements() {
		text := block.member("text")
		if !block.member("type").is("text") || text.kind() != '"' {
			return at("system", at(i, wrong("Input should be a text block")))
		}
		t.parts = append(t.parts, part{kind: "text", text: text})
	}
	if len(t.parts) > 0 {
		c.turn(&t)
	}
	return nil
}

// messages writes the conversation. Two turns of one role in a row stay two: merging them is the template's matter.
func (d anthropic) messages(c *chat, v value) (err error) {
	if err := wantArray("messages", v); err != nil {
		return err
	}
	v.array(0, func(i, from int) (end int) {
		if err != nil {
			return skip(v, from)
		}
		if end, err = d.message(&c.message, v, from); err != nil {
			err = at("messages", at(i, err))
			return end
		}
		c.turn(&c.message)
		return end
	})
	if err == nil && (c.last == "" || c.last == "system") {
		err = at("messages", wrong("at least one message is required"))
	}
	return err
}

// message takes the turn apart that begins at a position of v, and returns the position after it.
func (d anthropic) message(t *turn, v value, from int) (end int, err error) {
	if v[from:].kind() != '{' {
		return skip(v, from), wrong("Input should be an object")
	}
	var role value
	var unknown, unfit error
	said := false
	t.reset("")
	end = v.object(from, func(raw value, from int) (end int) {
		switch name := raw.text(); name {
		case "role":
			end = skip(v, from)
			role = v[from:end]
		case "content":
			t.reset("") // of two, the last one counts
			end, unfit = d.said(t, v, from)
			said = true
		default:
			end = skip(v, from)
			if unknown == nil && !v[from:end].absent() {
				unknown = extra(name)
			}
		}
		return end
	})
	switch {
	case unknown != nil:
		return end, unknown
	case role.absent():
		return end, required("role")
	case !role.is("user") && !role.is("assistant"):
		return end, at("role", wrong("Input should be 'user' or 'assistant'"))
	case !said:
		return end, required("content")
	}
	t.role = role.text()
	return end, unfit
}

// said reads the content of a message, a text or a list of blocks, and returns the position after it.
func (d anthropic) said(t *turn, v value, from int) (end int, err error) {
	if v[from:].kind() == '[' {
		end, err = d.blocks(t, v, from)
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

// tools takes what the client runs. Tools that Anthropic runs itself, such as a shell, have another type, and nobody to run them.
func (d anthropic) tools(c *chat, v value) error {
	if err := wantArray("", v); err != nil {
		return wrong("Input should be a valid list")
	}
	var b buffer
	b.open('[')
	for i, e := range v.elements() {
		t := tool{name: e.member("name"), description: e.member("description"), schema: e.member("input_schema"), strict: e.member("strict")}
		if typ := e.member("type"); !typ.absent() && !typ.is("custom") {
			return at(i, at("type", wrong("only tools of type 'custom' can be served")))
		}
		if err := first(needString("name", t.name), needObject("input_schema", t.schema)); err != nil {
			return at(i, err)
		}
		b.tool(t)
	}
	b.close(']')
	if len(b) > len("[]") {
		c.set("tools", value(b))
	}
	return nil
}

// toolChoice maps Anthropic's words: "any" is "required" to a server.
func (d anthropic) toolChoice(c *chat, v value) error {
	switch v.member("type").text() {
	case "auto":
		c.set("tool_choice", value(`"auto"`))
	case "any":
		c.set("tool_choice", value(`"required"`))
	case "none":
		c.set("tool_choice", value(`"none"`))
	case "tool":
		name := v.member("name")
		if err := needString("name", name); err != nil {
			return err
		}
		c.set("tool_choice", forcedTool(name))
	default:
		return at("type", wrong("Input should be 'auto', 'any', 'tool' or 'none'"))
	}
	if v.member("disable_parallel_tool_use").isTrue() {
		c.set("parallel_tool_calls", value("false"))
	}
	return nil
}

// format holds the answer to a schema (Bedrock: structured outputs).
func (d anthropic) format(c *chat, v value) error {
	if v.absent() {
		return nil
	}
	schema := v.member("schema")
	if !v.member("type").is("json_schema") {
		return at("type", wrong("Input should be 'json_schema'"))
	}
	c.set("response_format", jsonSchema(nil, schema))
	return needObject("schema", schema)
}
