package dialect

import (
	"github.com/batholith/batholith"
)

// converse is the Converse API, the same for every family (Bedrock: Converse without modelId).
type converse struct{ Options }

func (d converse) request(body value, model string) (batholith.Call, error) {
	c := newChat(model, len(body))
	if err := d.body(c, body); err != nil {
		return batholith.Call{}, hintInvoke(body, err)
	}
	return c.call(), nil
}

// body reads the members in any order. Additional fields are set last, so that they win over inferenceConfig.
func (d converse) body(c *chat, body value) error {
	var system, messages, additional value
	err := body.each(func(name string, v value) error {
		switch name {
		case "messages":
			messages = v
		case "system":
			system = v
		case "additionalModelRequestFields":
			additional = v
		case "inferenceConfig":
			return at(name, c.takeOnly(inferenceConfig, v))
		case "toolConfig":
			return at(name, d.toolConfig(c, v))
		case "outputConfig":
			return at(name, at("textFormat", d.textFormat(c, v.member("textFormat"))))
		case "guardrailConfig": // better no answer than one that nobody has looked at
			return at(name, wrong("there are no guardrails here to apply; leave it out"))
		case "additionalModelResponseFieldPaths":
			return wantStrings(name, v)
		case "requestMetadata", "performanceConfig", "serviceTier": // say nothing to a model
			return wantObject(name, v)
		default:
			return extra(name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return first(
		needArray("messages", messages),
		d.additional(c, additional),
		d.system(c, system),
		d.messages(c, messages))
}

// inferenceConfig has the ranges of the API (Bedrock: InferenceConfiguration); the number of stop sequences is the server's matter.
var inferenceConfig = parameters{
	"maxTokens":     {"max_tokens", count(1)},
	"temperature":   {"temperature", number(0, 1)},
	"topP":          {"top_p", number(0, 1)},
	"stopSequences": {"stop", wantStrings},
}

// additional merges the free fields. Those with a family's name for what servers call otherwise are renamed.
func (d converse) additional(c *chat, v value) error {
	const field = "additionalModelRequestFields"
	if err := wantObject(field, v); err != nil {
		return err
	}
	return at(field, v.each(func(name string, m value) error {
		switch name {
		case "model", "messages", "stream", "stream_options", "n":
			return extra(name)
		case "anthropic_version", "anthropic_beta":
		case "thinking", "reasoning_config", "reasoningConfig":
			return at(name, thinking(c, m))
		case "topK", "k":
			c.set("top_k", m)
		case "stop_sequences":
			c.set("stop", m)
			return wantStrings(name, m)
		case "inferenceConfig": // Bedrock: where Nova has its topK
			if k := m.member("topK"); !k.absent() {
				c.set("top_k", k)
			}
		default:
			c.set(name, m)
		}
		return nil
	}))
}

// system writes the blocks of the system prompt as one message.
func (d converse) system(c *chat, v value) error {
	if err := wantArray("system", v); err != nil {
		return err
	}
	t := turn{role: "system"}
	for i, block := range v.elements() {
		if err := systemBlock(&t, block); err != nil {
			return at("system", at(i, err))
		}
	}
	if len(t.parts) > 0 {
		c.turn(&t)
	}
	return nil
}

func systemBlock(t *turn, block value) error {
	name, v, err := only(block)
	if err != nil {
		return err
	}
	switch name {
	case "text":
		t.parts = append(t.parts, part{kind: "text", text: v})
		return wantString(name, v)
	case "guardContent":
		return guarded(t, v)
	case "cachePoint":
		return nil // servers find shared prefixes by themselves
	}
	return extra(name)
}

// messages writes the conversation.
func (d converse) messages(c *chat, v value) error {
	for i, m := range v.elements() {
		if err := converseMessage(&c.message, m); err != nil {
			return at("messages", at(i, err))
		}
		c.turn(&c.message)
	}
	if c.last == "" || c.last == "system" {
		return at("messages", wrong("at least one message is required"))
	}
	return nil
}

// converseMessage reads a message in the form that Converse and Nova share.
func converseMessage(t *turn, m value) error {
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
	if err := needArray("content", content); err != nil {
		return err
	}
	t.reset(role.text())
	for i, b := range content.elements() {
		if err := converseBlock(t, b); err != nil {
			return at("content", at(i, err))
		}
	}
	return nil
}

// only is the one member of a union that is set. Nulls beside it are what the service itself writes for the others.
func only(block value) (name string, v value, err error) {
	if block.kind() != '{' {
		return "", nil, wrong("Input should be an object")
	}
	for n, m := range block.members() {
		if m.absent() {
			continue
		}
		if v != nil {
			return "", nil, wrong("only one of %s and %s can be set", name, n)
		}
		name, v = n, m
	}
	if v == nil {
		return "", nil, wrong("one member is required, such as text")
	}
	return name, v, nil
}

// textFormat holds the answer to a schema (Bedrock: structured outputs).
func (d converse) textFormat(c *chat, v value) error {
	if v.absent() {
		return nil
	}
	if !v.member("type").is("json_schema") {
		return at("type", wrong("Input should be 'json_schema'"))
	}
	s := v.member("structure").member("jsonSchema")
	schema := s.member("schema")
	if err := needString("schema", schema); err != nil {
		return at("structure", at("jsonSchema", err))
	}
	parsed, err := parse([]byte(schema.text())) // Bedrock: the schema is a string that holds JSON
	if err != nil || parsed.kind() != '{' {
		return at("structure", at("jsonSchema", at("schema", wrong("Input should be a string that holds a JSON object"))))
	}
	c.set("response_format", jsonSchema(s.member("name"), parsed))
	return nil
}

// toolConfig is a superset of the service, which takes no tools in batch jobs of this type (Bedrock: batch inference).
func (d converse) toolConfig(c *chat, v value) error {
	if d.RefuseConverseTools {
		return wrong("tools are not supported in batch inference jobs of type Converse")
	}
	if v.kind() != '{' {
		return wrong("Input should be an object")
	}
	return first(at("tools", toolSpecs(c, v.member("tools"))), at("toolChoice", toolChoice(c, v.member("toolChoice"))))
}

// noConverse refuses Converse bodies for models that make vectors, record by record, as the service does.
type noConverse struct{}

func (noConverse) request(value, string) (batholith.Call, error) {
	return batholith.Call{}, wrong("the model makes embeddings and cannot converse; set modelInvocationType to InvokeModel and give the body of the model's family")
}

func (noConverse) answer(value, []byte) (batholith.Answer, error) {
	return batholith.Answer{}, nonsense("nothing was asked")
}
