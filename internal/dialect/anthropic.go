package dialect

import "github.com/batholith/batholith"

// anthropicBodies are two: messages, or one prompt with turns marked in it.
func anthropicBodies(o Options) translator {
	return byShape(func(body value) (translator, error) {
		if !body.member("prompt").absent() && body.member("messages").absent() {
			return claudeText{o}, nil
		}
		return anthropic{o}, nil
	})
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
	for name, v := range body.members() {
		if v.absent() {
			continue
		}
		var err error
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
			err = d.parameter(c, name, v)
		}
		if err != nil {
			return err
		}
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

// parameter takes everything but the conversation.
func (d anthropic) parameter(c *chat, name string, v value) error {
	switch name {
	case "temperature", "top_p":
		c.set(name, v)
		return wantNumber(name, v, 0, 1)
	case "top_k":
		c.set(name, v)
		return wantCount(name, v, 0)
	case "stop_sequences":
		c.set("stop", v)
		return wantStrings(name, v)
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
	return c.other(name, v)
}

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

func (d anthropic) messages(c *chat, v value) error {
	if err := wantArray("messages", v); err != nil {
		return err
	}
	var t turn
	for i, m := range v.elements() {
		if err := d.message(&t, m); err != nil {
			return at("messages", at(i, err))
		}
		c.turn(&t)
	}
	if c.last == "" || c.last == "system" {
		return at("messages", wrong("at least one message is required"))
	}
	return nil
}

func (d anthropic) message(t *turn, m value) error {
	if m.kind() != '{' {
		return wrong("Input should be an object")
	}
	var role, content value
	for name, v := range m.members() {
		switch name {
		case "role":
			role = v
		case "content":
			content = v
		default:
			if !v.absent() {
				return extra(name)
			}
		}
	}
	switch {
	case role.absent():
		return required("role")
	case !role.is("user") && !role.is("assistant"):
		return at("role", wrong("Input should be 'user' or 'assistant'"))
	}
	t.reset(role.text())
	switch content.kind() {
	case 'n':
		return required("content")
	case '"':
		t.parts = append(t.parts, part{kind: "text", text: content})
		return nil
	case '[':
		return at("content", d.blocks(t, content))
	}
	return at("content", wrong("Input should be a valid string or a list of content blocks"))
}

func (d anthropic) blocks(t *turn, content value) error {
	for i, b := range content.elements() {
		if err := d.block(t, b); err != nil {
			return at(i, err)
		}
	}
	return nil
}

func (d anthropic) block(t *turn, b value) error {
	switch typ := b.member("type").text(); typ {
	case "":
		return required("type")
	case "tool_use":
		call := toolCall{id: b.member("id"), name: b.member("name"), arguments: b.member("input")}
		t.calls = append(t.calls, call)
		return first(needString("id", call.id), needString("name", call.name), needObject("input", call.arguments))
	case "tool_result":
		return d.toolResult(t, b)
	case "thinking":
		t.reasoning = b.member("thinking")
		return needString("thinking", t.reasoning)
	case "redacted_thinking":
		return nil // only its maker can read it
	default:
		p, err := d.part(typ, b)
		t.parts = append(t.parts, p)
		return err
	}
}

// part reads a block that can stand in a message as well as in a tool's result.
func (d anthropic) part(typ string, b value) (part, error) {
	switch typ {
	case "text":
		text := b.member("text")
		return part{kind: "text", text: text}, needString("text", text)
	case "image":
		p, err := d.image(b.member("source"))
		return p, at("source", err)
	case "document":
		p, err := d.document(b.member("source"))
		return p, at("source", err)
	}
	return part{}, at("type", wrong("Input tag '%s' is not one of text, image, document, tool_use, tool_result, thinking", typ))
}

func (d anthropic) image(source value) (part, error) {
	switch source.member("type").text() {
	case "base64":
		media, data := source.member("media_type"), source.member("data")
		err := first(needString("media_type", media), needString("data", data))
		return part{kind: "image_url", prefix: "data:" + media.text() + ";base64,", text: data}, err
	case "url":
		url := source.member("url")
		return part{kind: "image_url", text: url}, needString("url", url)
	}
	return part{}, at("type", wrong("Input should be 'base64' or 'url'"))
}

// document takes plain text, which any model reads. Other documents need a reader that model servers do not have.
func (d anthropic) document(source value) (part, error) {
	if !source.member("type").is("text") {
		return part{}, at("type", wrong("only documents of type 'text' can be served; give the text itself"))
	}
	data := source.member("data")
	return part{kind: "text", text: data}, needString("data", data)
}

func (d anthropic) toolResult(t *turn, b value) error {
	r := toolResult{id: b.member("tool_use_id")}
	if err := needString("tool_use_id", r.id); err != nil {
		return err
	}
	switch content := b.member("content"); content.kind() {
	case 'n':
	case '"':
		r.parts = []part{{kind: "text", text: content}}
	case '[':
		for i, e := range content.elements() {
			p, err := d.part(e.member("type").text(), e)
			if err != nil {
				return at("content", at(i, err))
			}
			r.parts = append(r.parts, p)
		}
	default:
		return at("content", wrong("Input should be a valid string or a list of content blocks"))
	}
	t.results = append(t.results, r)
	return nil
}

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
