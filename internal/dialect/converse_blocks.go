package dialect

import (
	"encoding/base64"
	"unicode/utf8"
)

// converseBlock reads one block of content into the message.
func converseBlock(t *turn, block value) error {
	name, v, err := only(block)
	if err != nil {
		return err
	}
	switch name {
	case "toolUse":
		call := toolCall{id: v.member("toolUseId"), name: v.member("name"), arguments: v.member("input")}
		t.calls = append(t.calls, call)
		err = first(needString("toolUseId", call.id), needString("name", call.name), needObject("input", call.arguments))
	case "toolResult":
		err = converseResult(t, v)
	case "reasoningContent":
		if text := v.member("reasoningText").member("text"); text.kind() == '"' {
			t.reasoning = text // redacted content can be read by its maker only
		}
	case "guardContent":
		err = guarded(t, v)
	case "cachePoint": // servers find shared prefixes by themselves
	case "citationsContent":
		for _, c := range v.member("content").elements() {
			t.parts = append(t.parts, part{kind: "text", text: c.member("text")})
			err = first(err, needString("text", c.member("text")))
		}
	default:
		var p part
		p, err = conversePart(name, v)
		t.parts = append(t.parts, p)
		if name == "text" && err == nil {
			return nil
		}
	}
	return at(name, err)
}

// guarded takes the text that a guardrail would look at.
func guarded(t *turn, v value) error {
	text := v.member("text").member("text")
	t.parts = append(t.parts, part{kind: "text", text: text})
	return at("text", needString("text", text))
}

// conversePart reads what can stand in a message as well as in a tool's result. Errors are relative to the block's member.
func conversePart(name string, v value) (part, error) {
	switch name {
	case "text":
		if v.kind() != '"' {
			return part{}, wrong("Input should be a valid string")
		}
		return part{kind: "text", text: v}, nil
	case "image":
		data, err := inlineBytes(v)
		return part{kind: "image_url", prefix: "data:image/" + v.member("format").text() + ";base64,", text: data}, err
	case "video":
		data, err := inlineBytes(v)
		return part{kind: "video_url", prefix: "data:video/" + v.member("format").text() + ";base64,", text: data}, err
	case "audio":
		data, err := inlineBytes(v)
		return part{kind: "input_audio", prefix: v.member("format").text(), text: data}, err
	case "document":
		return converseDocument(v)
	}
	return part{}, wrong("Extra inputs are not permitted")
}

// inlineBytes is the Base64 of a medium.
func inlineBytes(v value) (value, error) {
	if err := needString("format", v.member("format")); err != nil {
		return nil, err
	}
	source := v.member("source")
	if !source.member("s3Location").absent() {
		return nil, at("source", at("s3Location", wrong("media in S3 cannot be served; give its bytes")))
	}
	data := source.member("bytes")
	return data, at("source", needString("bytes", data))
}

// converseDocument takes documents that are text. The others need a reader that model servers do not have.
func converseDocument(v value) (part, error) {
	source := v.member("source")
	if text := source.member("text"); text.kind() == '"' {
		return part{kind: "text", text: text}, nil
	}
	switch format := v.member("format").text(); format {
	case "txt", "md", "csv", "html":
	default:
		return part{}, at("format", wrong("documents of format '%s' cannot be served; txt, md, csv and html can", format))
	}
	data := source.member("bytes")
	if err := needString("bytes", data); err != nil {
		return part{}, at("source", err)
	}
	text, err := base64.StdEncoding.DecodeString(data.text())
	if err != nil || !utf8.Valid(text) {
		return part{}, at("source", at("bytes", wrong("Input should be Base64 of UTF-8 text")))
	}
	var b buffer
	b.text(string(text))
	return part{kind: "text", text: value(b)}, nil
}

// converseResult reads what a tool gave. A server has no place for its status: the content itself tells the model.
func converseResult(t *turn, v value) error {
	r := toolResult{id: v.member("toolUseId")}
	if err := first(needString("toolUseId", r.id), needArray("content", v.member("content"))); err != nil {
		return err
	}
	for i, block := range v.member("content").elements() {
		p, err := resultPart(block)
		if err != nil {
			return at("content", at(i, err))
		}
		r.parts = append(r.parts, p)
	}
	t.results = append(t.results, r)
	return nil
}

// resultPart reads a block of a tool's result, which may also be any JSON: the model reads it as text.
func resultPart(block value) (part, error) {
	name, v, err := only(block)
	if err != nil {
		return part{}, err
	}
	if name == "json" {
		var b buffer
		b.quoted(v)
		return part{kind: "text", text: value(b)}, nil
	}
	p, err := conversePart(name, v)
	return p, at(name, err)
}

// toolSpecs reads toolConfig.tools in the form that Converse and Nova share.
func toolSpecs(c *chat, v value) error {
	if v.kind() != '[' {
		return wrong("Input should be a valid list")
	}
	var b buffer
	b.open('[')
	for i, e := range v.elements() {
		name, spec, err := only(e)
		switch {
		case err != nil:
			return at(i, err)
		case name == "cachePoint":
			continue
		case name != "toolSpec":
			return at(i, at(name, wrong("only tools with a toolSpec can be served")))
		}
		t := tool{name: spec.member("name"), description: spec.member("description"), strict: spec.member("strict")}
		t.schema = spec.member("inputSchema").member("json")
		if err := first(needString("name", t.name), at("inputSchema", needObject("json", t.schema))); err != nil {
			return at(i, at(name, err))
		}
		b.tool(t)
	}
	b.close(']')
	if len(b) > len("[]") {
		c.set("tools", value(b))
	}
	return nil
}

// toolChoice maps Converse's words: "any" is "required" to a server.
func toolChoice(c *chat, v value) error {
	if v.absent() {
		return nil
	}
	name, choice, err := only(v)
	if err != nil {
		return err
	}
	switch name {
	case "auto":
		c.set("tool_choice", value(`"auto"`))
	case "any":
		c.set("tool_choice", value(`"required"`))
	case "tool":
		c.set("tool_choice", forcedTool(choice.member("name")))
		return at(name, needString("name", choice.member("name")))
	default:
		return extra(name)
	}
	return nil
}
