package dialect

import (
	"strings"

	"github.com/batholith/batholith"
)

// converse translates Converse bodies, which are the same for every family (Bedrock: Converse
// without modelId). A minimal body and its answer:
//
//	{"messages":[{"role":"user","content":[{"text":"Hello"}]}],"inferenceConfig":{"maxTokens":512}}
//	{"output":{"message":{"role":"assistant","content":[{"text":"Hi"}]}},"stopReason":"end_turn","usage":{…},"metrics":{"latencyMs":250}}
type converse struct {
	Options
	members *members // table of the body's members
	nova    bool     // Nova's variant: a block may have a cache point beside its content, and inferenceConfig has more members
}

// request implements translator.
func (d converse) request(body value, model string) (batholith.Call, error) {
	c := newChat(model, len(body))
	if err := d.read(c, body); err != nil {
		return batholith.Call{}, hintInvoke(body, err)
	}
	return c.call(), nil
}

// read reads the members in any order. additionalModelRequestFields are applied after
// inferenceConfig, so they override it.
func (d converse) read(c *chat, body value) error {
	var system, messages, additional value
	err := c.read(d.members, body, func(name string, v value) error {
		switch name {
		case "messages":
			messages = v
		case "system":
			system = v
		case "additionalModelRequestFields":
			additional = v
		default:
			return at(name, d.config(c, name, v))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return first(
		needArray("messages", messages),
		at("additionalModelRequestFields", d.additional(c, additional)),
		c.choosable("toolConfig.toolChoice"),
		d.system(c, system),
		d.messages(c, messages))
}

// config reads a member outside the conversation. Errors are relative to the member.
func (d converse) config(c *chat, name string, v value) error {
	switch name {
	case "inferenceConfig":
		if d.nova {
			return nova{d.Options}.inference(c, novaInference, novaThinking, v)
		}
		return c.readObject(converseInference, v, nil)
	case "reasoningConfig":
		return c.readThinking(novaBodyThinking, v)
	case "schemaVersion":
		if !v.is("messages-v1") {
			return wrong("Input should be 'messages-v1'")
		}
	case "toolConfig":
		return d.toolConfig(c, v)
	case "outputConfig":
		return c.readObject(converseOutput, v, func(name string, v value) error {
			if name == "effort" {
				return at(name, c.effort("outputConfig.effort", v))
			}
			return at(name, d.textFormat(c, v))
		})
	}
	return nil
}

// additional reads additionalModelRequestFields. Fields with a family's own names are
// translated to the server's.
func (d converse) additional(c *chat, v value) error {
	if v.absent() {
		return nil
	}
	return c.readObject(converseFields, v, func(name string, v value) error { return at(name, d.field(c, name, v)) })
}

// field translates one additional field. Errors are relative to it.
func (d converse) field(c *chat, name string, v value) error {
	// Clients send Claude's own members in this place, so Claude's code reads them.
	claude := anthropic{d.Options}
	switch name {
	case "thinking":
		return c.readThinking(fieldsThinking, v)
	case "reasoning_config", "reasoningConfig":
		if v.kind() == '"' { // models of other vendors use the effort alone
			return c.effort("additionalModelRequestFields."+name, v)
		}
		return c.readThinking(fieldsReasoning, v)
	case "output_config":
		return claude.outputConfig(c, fieldsOutputConfig, fieldsConfigFormat, v)
	case "output_format":
		return claude.format(c, fieldsOutputFormat, v)
	case "tool_choice":
		if typ := v.member("type"); typ.absent() || typ.is("function") { // already in OpenAI's form
			c.set(name, v) // as OpenAI has it
			return nil
		}
		return claude.toolChoice(c, fieldsToolChoice, v)
	case "tools":
		return d.moreTools(c, v)
	case "response_format":
		return responseFormat(c, v)
	case "inferenceConfig":
		return nova{d.Options}.inference(c, fieldsInference, fieldsInferenceThinking, v)
	case "textGenerationConfig":
		return c.readObject(fieldsTitan, v, nil)
	}
	return nil
}

// moreTools adds tools given in additionalModelRequestFields, in Claude's or OpenAI's format,
// to those of toolConfig.
func (d converse) moreTools(c *chat, v value) error {
	if v.kind() != '[' {
		return wrong("Input should be a valid list")
	}
	if d.RefuseConverseTools {
		return wrong(noConverseTools)
	}
	var b buffer
	b.open('[')
	for i, e := range v.elements() {
		if !claudes(e) {
			b.raw(e)
			continue
		}
		err := anthropic{d.Options}.tool(c, &b, e)
		if err != nil {
			return at(i, err)
		}
	}
	b.close(']')
	c.addTools(value(b))
	return nil
}

// claudes reports whether a tool is in Claude's format: with input_schema, or with a type that
// ends in a date.
func claudes(tool value) bool {
	typ := tool.member("type").text()
	name, date, dated := strings.Cut(typ, "_20")
	return !tool.member("input_schema").absent() || dated && name != "" && len(date) == len("250124") || typ == "" && tool.member("function").absent()
}

// noConverseTools is Bedrock's restriction for jobs of this type (Bedrock: batch inference).
const noConverseTools = "tools are not supported in batch inference jobs of type Converse"

// system writes the blocks of the system prompt as one message. Empty texts are dropped.
func (d converse) system(c *chat, v value) error {
	if err := wantArray("system", v); err != nil {
		return err
	}
	t := turn{role: "system"}
	for i, block := range v.elements() {
		if err := d.systemBlock(c, &t, block); err != nil {
			return at("system", at(i, err))
		}
	}
	if len(t.parts) > 0 {
		c.turn(&t)
	}
	return nil
}

// systemBlock reads one block of the system prompt.
func (d converse) systemBlock(c *chat, t *turn, block value) error {
	return d.union(c, converseSystem, block, func(name string, v value) error {
		if name == "guardContent" {
			return d.guarded(c, &t.parts, v)
		}
		t.parts = addText(t.parts, v)
		return wantString("", v)
	})
}

// union reads a block, in which one member must be set. In Nova's blocks a cache point may be
// set too (Bedrock: Amazon Nova, prompt caching). Errors of take are relative to the member.
func (d converse) union(c *chat, o *members, block value, take func(name string, v value) error) error {
	if _, _, err := only(block, d.nova); err != nil {
		return err
	}
	return c.read(o, block, func(name string, v value) error { return at(name, take(name, v)) })
}

// messages writes the conversation.
func (d converse) messages(c *chat, v value) error {
	spoken := false
	for i, m := range v.elements() {
		if err := d.message(c, m); err != nil {
			return at("messages", at(i, err))
		}
		spoken = spoken || c.message.role != "system"
		c.turn(&c.message)
	}
	if !spoken {
		return at("messages", wrong("at least one message is required"))
	}
	return nil
}

// message reads a message; Converse and Nova have the same format.
func (d converse) message(c *chat, m value) error {
	if m.kind() != '{' {
		return wrong("Input should be an object")
	}
	var role, content value
	err := c.read(converseMessage, m, func(name string, v value) error {
		switch name {
		case "role":
			role = v
		case "content":
			content = v
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case role.absent():
		return required("role")
	case !role.is("user") && !role.is("assistant") && !role.is("system"):
		return at("role", wrong("Input should be 'user' or 'assistant'"))
	}
	if err := needArray("content", content); err != nil {
		return err
	}
	// c.message is reused for every message.
	c.message.reset(role.text())
	for i, b := range content.elements() {
		if err := d.block(c, b); err != nil {
			return at("content", at(i, err))
		}
	}
	return nil
}

// only returns the one member of a union that is set. Null members count as not set: the AWS
// SDKs write them. With cacheBeside, cachePoint may be set in addition.
func only(block value, cacheBeside bool) (name string, v value, err error) {
	if block.kind() != '{' {
		return "", nil, wrong("Input should be an object")
	}
	for n, m := range block.members() {
		if m.absent() || cacheBeside && n == "cachePoint" && name != "" {
			continue
		}
		if v != nil && (!cacheBeside || name != "cachePoint") {
			return "", nil, wrong("only one of %s and %s can be set", name, n)
		}
		name, v = n, m
	}
	if v == nil {
		return "", nil, wrong("one member is required, such as text")
	}
	return name, v, nil
}

// textFormat requests an answer that conforms to a JSON Schema (Bedrock: structured outputs).
func (d converse) textFormat(c *chat, v value) error {
	var typ, structure, schema value
	err := c.readObject(converseTextFormat, v, func(name string, v value) error {
		switch name {
		case "type":
			typ = v
		case "structure":
			structure = v
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case !typ.is("json_schema"):
		return at("type", wrong("Input should be 'json_schema'"))
	}
	if err := needObject("structure", structure); err != nil {
		return err
	}
	err = c.read(converseStructure, structure, func(name string, v value) error {
		schema = v
		return nil
	})
	return at("structure", first(err, at("jsonSchema", d.schema(c, schema))))
}

// schema reads the definition. Its member schema is a string that contains JSON.
func (d converse) schema(c *chat, v value) error {
	var schema, name, description value
	err := c.read(converseSchema, v, func(member string, v value) error {
		switch member {
		case "schema":
			schema = v
		case "name":
			name = v
		case "description":
			description = v
		}
		return nil
	})
	if err := first(err, needString("schema", schema)); err != nil {
		return err
	}
	// The schema is JSON inside a JSON string, so it must be parsed once more.
	parsed, err := parse([]byte(schema.text()))
	if err != nil || parsed.kind() != '{' {
		return at("schema", wrong("Input should be a string that holds a JSON object"))
	}
	c.set("response_format", jsonSchema(name, description, parsed))
	return nil
}

// toolConfig reads tool definitions and the tool choice. Bedrock allows no tools in batch jobs
// of type Converse; only the profile "aws" enforces that.
func (d converse) toolConfig(c *chat, v value) error {
	if d.RefuseConverseTools {
		return wrong(noConverseTools)
	}
	return c.readObject(converseToolConfig, v, func(name string, v value) error {
		if name == "toolChoice" {
			return at(name, d.toolChoice(c, v))
		}
		return at(name, d.tools(c, v))
	})
}

// embedsOnly is the reason of noConverse.
const embedsOnly = "the model makes embeddings and cannot converse; set modelInvocationType to InvokeModel and give the body of the model's family"

// noConverse rejects Converse bodies for embedding models, record by record as Bedrock does.
type noConverse struct{}

// request implements translator.
func (noConverse) request(value, string) (batholith.Call, error) {
	return batholith.Call{}, wrong(embedsOnly)
}

// answer implements translator. It is never called, because request always fails.
func (noConverse) answer(value, batholith.Call, []byte) (batholith.Answer, error) {
	return batholith.Answer{}, nonsense("nothing was asked")
}
