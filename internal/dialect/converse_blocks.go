package dialect

import (
	"encoding/base64"

	"github.com/batholith/batholith/internal/document"
)

// block reads one content block into the message. Almost all blocks are a single text.
func (d converse) block(c *chat, block value) error {
	t := &c.message
	return d.union(c, converseContent, block, func(name string, v value) error {
		switch name {
		case "toolUse":
			return d.toolUse(c, v)
		case "toolResult":
			return d.toolResult(c, v)
		case "reasoningContent":
			return d.reasoning(c, v)
		case "guardContent":
			return d.guarded(c, &t.parts, v)
		case "citationsContent":
			return d.cited(c, v)
		}
		return d.part(c, &t.parts, name, v)
	})
}

// toolUse reads a tool call of an earlier turn.
func (d converse) toolUse(c *chat, v value) error {
	var call toolCall
	err := c.readObject(converseToolUse, v, func(name string, v value) error {
		switch name {
		case "toolUseId":
			call.id = v
		case "name":
			call.name = v
		case "input":
			call.arguments = v
		}
		return nil
	})
	c.message.calls = append(c.message.calls, call)
	return first(err, needString("toolUseId", call.id), needString("name", call.name), needObject("input", call.arguments))
}

// reasoning reads the model's thoughts of an earlier turn.
func (d converse) reasoning(c *chat, v value) error {
	return c.readObject(converseReasoning, v, func(name string, v value) error {
		var text value
		err := c.readObject(converseReasoningText, v, func(name string, v value) error {
			text = v
			return nil
		})
		if err := first(err, needString("text", text)); err != nil {
			return at(name, err)
		}
		c.message.think(text)
		return nil
	})
}

// guarded reads a guardContent block, a text or an image for a guardrail, as ordinary content.
func (d converse) guarded(c *chat, to *[]part, v value) error {
	if _, _, err := only(v, false); err != nil {
		return err
	}
	return c.read(converseGuard, v, func(name string, v value) error {
		if name == "image" {
			return at(name, d.part(c, to, name, v))
		}
		var text value
		err := c.readObject(converseGuardText, v, func(_ string, v value) error {
			text = v
			return nil
		})
		*to = addText(*to, text)
		return at(name, first(err, needString("text", text)))
	})
}

// cited reads the text of an earlier answer with citations.
func (d converse) cited(c *chat, v value) error {
	return c.readObject(converseCitations, v, func(name string, v value) error {
		return at(name, d.chunks(c, v, func(text value) { c.message.parts = append(c.message.parts, part{kind: "text", text: text}) }))
	})
}

// chunks calls visit for each text of a list of pieces.
func (d converse) chunks(c *chat, v value, visit func(text value)) error {
	if v.kind() != '[' {
		return wrong("Input should be a valid list")
	}
	for i, e := range v.elements() {
		var text value
		err := c.readObject(converseChunk, e, func(_ string, v value) error {
			text = v
			return nil
		})
		if err := first(err, needString("text", text)); err != nil {
			return at(i, err)
		}
		visit(text)
	}
	return nil
}

// part reads a block that may occur in a message and in a tool's result, and appends it to *to.
// Errors are relative to the block's member.
func (d converse) part(c *chat, to *[]part, name string, v value) error {
	switch name {
	case "text":
		if v.kind() != '"' {
			return wrong("Input should be a valid string")
		}
		*to = append(*to, part{kind: "text", text: v})
		return nil
	case "document":
		return d.document(c, to, v)
	case "searchResult":
		return c.searchResult(to, converseSearchResult, v, func(w *wrapped, content value) error { return d.chunks(c, content, w.text) })
	}
	// image, video and audio share one form: format and source.bytes.
	format, data, err := d.medium(c, name, v)
	p := part{kind: "input_audio", prefix: format, text: data}
	switch name {
	case "image":
		p.kind, p.prefix = "image_url", "data:image/"+format+";base64,"
	case "video":
		p.kind, p.prefix = "video_url", "data:video/"+format+";base64,"
	}
	*to = append(*to, p)
	return err
}

// medium reads the format and the Base64 data of an image, video or audio.
func (d converse) medium(c *chat, kind string, v value) (format string, data value, err error) {
	var form, source value
	err = c.readObject(converseMedia[kind], v, func(name string, v value) error {
		switch name {
		case "format":
			form = v
		case "source":
			source = v
		}
		return nil
	})
	if err := first(err, needString("format", form), needObject("source", source)); err != nil {
		return "", nil, err
	}
	err = c.read(converseMediaSource, source, func(_ string, v value) error {
		data = v
		return nil
	})
	return form.text(), data, at("source", first(err, needString("bytes", data)))
}

// document reads a document. Model servers read text only, so other formats are read here.
func (d converse) document(c *chat, to *[]part, v value) error {
	w := wrapped{tag: "document", parts: to}
	var format, title, source value
	err := c.readObject(converseDocument, v, func(name string, v value) error {
		switch name {
		case "format":
			format = v
			return wantString(name, v)
		case "name":
			title = v
			w.head("title", v)
			return wantString(name, v)
		case "context":
			w.head(name, v)
			return wantString(name, v)
		case "source":
			source = v
		}
		return nil
	})
	if err := first(err, needObject("source", source)); err != nil {
		return err
	}
	if err := d.documentSource(c, &w, format, title, source); err != nil {
		return err
	}
	w.close()
	return nil
}

// documentSource reads the text of a document: a string, pieces, or Base64 of a format.
func (d converse) documentSource(c *chat, w *wrapped, format, title, source value) error {
	// A source is a union: text, content, bytes or s3Location.
	if _, _, err := only(source, false); err != nil {
		return at("source", err)
	}
	unread := false // bytes in a format that cannot be read
	err := c.read(converseDocumentSource, source, func(name string, v value) error {
		switch name {
		case "text":
			w.text(v)
			return wantString(name, v)
		case "content":
			return at(name, d.chunks(c, v, w.text))
		}
		if err := d.counted(c, base64.StdEncoding.DecodedLen(len(v))); err != nil {
			return at(name, err)
		}
		switch word := format.text(); {
		case word == "txt", word == "md", word == "csv", word == "html":
		case document.Readable(word):
			return at(name, d.Options.document(c, w, converseDocumentSource.rules["bytes"].path, word, title, v))
		default:
			unread = true
			return nil
		}
		text, err := decodedText(v)
		if err == nil {
			w.text(text)
		}
		return at(name, err)
	})
	if unread {
		return at("format", wrong("documents of format '%s' are not supported; use pdf, docx, txt, md, csv or html", format.text()))
	}
	return at("source", err)
}

// toolResult reads the result of a tool call.
func (d converse) toolResult(c *chat, v value) error {
	var r toolResult
	var content value
	err := c.readObject(converseToolResult, v, func(name string, v value) error {
		switch name {
		case "toolUseId":
			r.id = v
		case "content":
			content = v
		case "status":
			if r.failed = v.is("error"); !r.failed && !v.is("success") {
				return at(name, wrong("Input should be 'success' or 'error'"))
			}
		}
		return nil
	})
	if err := first(err, needString("toolUseId", r.id), needArray("content", content)); err != nil {
		return err
	}
	for i, block := range content.elements() {
		if err := d.resultPart(c, &r.parts, block); err != nil {
			return at("content", at(i, err))
		}
	}
	c.message.results = append(c.message.results, r)
	return nil
}

// resultPart reads a block of a tool's result. A json block becomes text.
func (d converse) resultPart(c *chat, to *[]part, block value) error {
	return d.union(c, converseResultContent, block, func(name string, v value) error {
		if name == "json" {
			var b buffer
			b.quoted(v)
			*to = append(*to, part{kind: "text", text: value(b)})
			return nil
		}
		return d.part(c, to, name, v)
	})
}

// tools reads toolConfig.tools; Converse and Nova have the same format.
func (d converse) tools(c *chat, v value) error {
	if v.kind() != '[' {
		return wrong("Input should be a valid list")
	}
	var b buffer
	b.open('[')
	for i, e := range v.elements() {
		err := d.union(c, converseTool, e, func(_ string, v value) error { return d.toolSpec(c, &b, v) })
		if err != nil {
			return at(i, err)
		}
	}
	b.close(']')
	c.addTools(value(b))
	return nil
}

// toolSpec writes one definition to b, in OpenAI's format.
func (d converse) toolSpec(c *chat, b *buffer, v value) error {
	var t tool
	var schema value
	err := c.readObject(converseToolSpec, v, func(name string, v value) error {
		switch name {
		case "name":
			t.name = v
		case "description":
			t.description = v
		case "inputSchema":
			schema = v
		case "strict":
			t.strict = v
		}
		return nil
	})
	if err := first(err, needString("name", t.name), needObject("inputSchema", schema)); err != nil {
		return err
	}
	err = c.read(converseToolSchema, schema, func(_ string, v value) error {
		t.schema = v
		return nil
	})
	b.tool(t)
	return at("inputSchema", first(err, needObject("json", t.schema)))
}

// toolChoice translates toolChoice: Converse's "any" is OpenAI's "required".
func (d converse) toolChoice(c *chat, v value) error {
	return d.union(c, converseToolChoice, v, func(name string, v value) error {
		switch name {
		case "auto":
			c.set("tool_choice", value(`"auto"`))
			return c.readObject(converseBareChoice, v, nil)
		case "any":
			c.set("tool_choice", value(`"required"`))
			return c.readObject(converseBareChoice, v, nil)
		case "tool":
			var tool value
			err := c.readObject(converseNamedTool, v, func(_ string, v value) error {
				tool = v
				return nil
			})
			if err := first(err, needString("name", tool)); err != nil {
				return err
			}
			c.set("tool_choice", forcedTool(tool))
		}
		return nil
	})
}
