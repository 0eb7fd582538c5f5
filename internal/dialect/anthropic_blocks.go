package dialect

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// blocks reads the list of blocks that begins at v[from] into the message, and returns the
// position after it. Plain text blocks, nearly all of them, take a fast path.
func (d anthropic) blocks(c *chat, v value, from int) (end int, err error) {
	end = v.array(from, func(i, from int) (end int) {
		if err != nil {
			return skip(v, from)
		}
		var typ, text value
		plain := true // the block has no members except type and text
		if v[from] == '{' {
			end = v.object(from, func(name value, from int) int {
				end := skip(v, from)
				switch {
				case name.is("type"):
					typ = v[from:end]
				case name.is("text"):
					text = v[from:end]
				default:
					plain = false
				}
				return end
			})
		} else {
			end = skip(v, from)
		}
		if plain && text.kind() == '"' && typ.is("text") {
			c.message.parts = append(c.message.parts, part{kind: "text", text: text})
			return end
		}
		err = at(i, d.block(c, v[from:end], typ.text()))
		return end
	})
	return end, err
}

// block reads one block. Tool calls, tool results and thoughts have their own fields in a turn;
// other blocks are content.
func (d anthropic) block(c *chat, b value, typ string) error {
	t := &c.message
	switch typ {
	case "":
		return required("type")
	case "tool_use":
		var call toolCall
		err := c.read(claudeBlocks[typ], b, func(name string, v value) error {
			switch name {
			case "id":
				call.id = v
			case "name":
				call.name = v
			case "input":
				call.arguments = v
			}
			return nil
		})
		t.calls = append(t.calls, call)
		return first(err, needString("id", call.id), needString("name", call.name), needObject("input", call.arguments))
	case "tool_result":
		return d.toolResult(c, b)
	case "thinking":
		var thought value
		err := c.read(claudeBlocks[typ], b, func(name string, v value) error {
			if name == "thinking" {
				thought = v
			}
			return nil
		})
		if err := first(err, needString("thinking", thought)); err != nil {
			return err
		}
		t.think(thought)
		return nil
	// Only the provider can decrypt it, so nothing is sent; the table counts it as ignored.
	case "redacted_thinking":
		return c.read(claudeBlocks[typ], b, nil)
	default:
		return d.part(c, &t.parts, typ, b)
	}
}

// part reads a block that may occur in a message and in a tool's result, and appends it to *to.
func (d anthropic) part(c *chat, to *[]part, typ string, b value) error {
	switch typ {
	case "text":
		var text value
		err := c.read(claudeBlocks[typ], b, func(name string, v value) error {
			if name == "text" {
				text = v
			}
			return nil
		})
		*to = append(*to, part{kind: "text", text: text})
		return first(err, needString("text", text))
	case "image":
		p, err := d.image(c, b)
		*to = append(*to, p)
		return err
	case "document":
		return d.document(c, to, b)
	case "search_result":
		return c.searchResult(to, claudeBlocks[typ], b, func(w *wrapped, content value) error { return d.chunks(c, w, content) })
	}
	// Blocks that only Anthropic's own tools produce have a specific remedy.
	if why := claudeServerBlocks[typ]; why != "" {
		return at("type", wrong("'%s': %s", typ, why))
	}
	return at("type", wrong("Input tag '%s' is not one of text, image, document, search_result, tool_use, tool_result, thinking", typ))
}

// image converts an image block to a URL: a data: URL if the image is in the body.
func (d anthropic) image(c *chat, b value) (part, error) {
	var source, typ, media, data, url value
	err := c.read(claudeBlocks["image"], b, func(name string, v value) error {
		if name == "source" {
			source = v
		}
		return nil
	})
	if err != nil {
		return part{}, err
	}
	err = c.read(claudeImageSource, source, func(name string, v value) error {
		switch name {
		case "type":
			typ = v
		case "media_type":
			media = v
		case "data":
			data = v
		case "url":
			url = v
		}
		return nil
	})
	switch {
	case err != nil:
		return part{}, at("source", err)
	case typ.is("base64"):
		err := first(needString("media_type", media), needString("data", data))
		return part{kind: "image_url", prefix: "data:" + media.text() + ";base64,", text: data}, at("source", err)
	case typ.is("url"):
		return part{kind: "image_url", text: url}, at("source", needString("url", url))
	}
	return part{}, at("source", at("type", wrong("Input should be 'base64' or 'url'")))
}

// document reads a document. Model servers read text only, so other formats are read here.
func (d anthropic) document(c *chat, to *[]part, b value) error {
	// Title and context are written before the text, inside <document> tags.
	w := wrapped{tag: "document", parts: to}
	var source, title value
	err := c.read(claudeBlocks["document"], b, func(name string, v value) error {
		switch name {
		case "source":
			source = v
		case "title", "context":
			if name == "title" {
				title = v
			}
			w.head(name, v)
			return wantString(name, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := needObject("source", source); err != nil {
		return err
	}
	return at("source", d.documentSource(c, &w, title, source))
}

// documentSource reads the text, or the blocks of which it consists.
func (d anthropic) documentSource(c *chat, w *wrapped, title, source value) error {
	var typ, media, data, content value
	err := c.read(claudeDocumentSource, source, func(name string, v value) error {
		switch name {
		case "type":
			typ = v
		case "media_type":
			media = v
		case "data":
			data = v
		case "content":
			content = v
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case typ.is("text"):
		if err := needString("data", data); err != nil {
			return err
		}
		w.text(data)
	case typ.is("content"):
		if err := at("content", d.chunks(c, w, content)); err != nil {
			return err
		}
	case typ.is("base64") && strings.HasPrefix(media.text(), "text/"):
		text, err := decodedText(data)
		if err != nil {
			return at("data", err)
		}
		w.text(text)
	case typ.is("base64"):
		format := mediaFormats[media.text()]
		if format == "" {
			return at("media_type", wrong("documents of type '%s' are not supported, only text, application/pdf and docx are; give the text itself", media.text()))
		}
		if err := d.Options.document(c, w, claudeDocumentSource.rules["data"].path, format, title, data); err != nil {
			return at("data", err)
		}
	default:
		return at("type", wrong("only documents of type 'text', 'content' and 'base64' are supported; give the text itself"))
	}
	w.close()
	return nil
}

// chunks reads the content of a document or search result: a string, or blocks of text and
// images.
func (d anthropic) chunks(c *chat, w *wrapped, content value) error {
	switch content.kind() {
	case '"':
		w.text(content)
		return nil
	case '[':
	default:
		return wrong("Input should be a valid string or a list of content blocks")
	}
	for i, e := range content.elements() {
		typ := e.member("type").text()
		if typ != "text" && typ != "image" {
			return at(i, at("type", wrong("Input should be 'text' or 'image'")))
		}
		var parts []part
		if err := d.part(c, &parts, typ, e); err != nil {
			return at(i, err)
		}
		w.add(parts)
	}
	return nil
}

// decodedText decodes Base64 and returns the text as a JSON string.
func decodedText(data value) (value, error) {
	text, err := base64.StdEncoding.DecodeString(data.text())
	if data.kind() != '"' || err != nil || !utf8.Valid(text) {
		return nil, wrong("Input should be Base64 of UTF-8 text")
	}
	var b buffer
	b.text(string(text))
	return value(b), nil
}

// toolResult reads the result of a tool call.
func (d anthropic) toolResult(c *chat, b value) error {
	var r toolResult
	var content value
	err := c.read(claudeBlocks["tool_result"], b, func(name string, v value) error {
		switch name {
		case "tool_use_id":
			r.id = v
		case "content":
			content = v
		case "is_error":
			r.failed = v.isTrue()
		}
		return nil
	})
	if err := first(err, needString("tool_use_id", r.id)); err != nil {
		return err
	}
	switch content.kind() {
	case 'n':
	case '"':
		r.parts = []part{{kind: "text", text: content}}
	case '[':
		for i, e := range content.elements() {
			if err := d.part(c, &r.parts, e.member("type").text(), e); err != nil {
				return at("content", at(i, err))
			}
		}
	default:
		return at("content", wrong("Input should be a valid string or a list of content blocks"))
	}
	c.message.results = append(c.message.results, r)
	return nil
}
