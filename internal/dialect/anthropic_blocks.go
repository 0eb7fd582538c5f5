package dialect

// blocks adds the list of blocks that begins at a position of v to the turn, and returns the position after it.
func (d anthropic) blocks(t *turn, v value, from int) (end int, err error) {
	end = v.array(from, func(i, from int) (end int) {
		if err != nil {
			return skip(v, from)
		}
		var typ, text value
		if v[from] == '{' {
			end = v.object(from, func(name value, from int) int {
				end := skip(v, from)
				switch {
				case name.is("type"):
					typ = v[from:end]
				case name.is("text"):
					text = v[from:end]
				}
				return end
			})
		} else {
			end = skip(v, from)
		}
		err = at(i, d.block(t, v[from:end], typ.text(), text))
		return end
	})
	return end, err
}

// block reads one block. Calls, results and thoughts have places of their own in a turn; the rest is content.
func (d anthropic) block(t *turn, b value, typ string, text value) error {
	switch typ {
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
		p, err := d.part(typ, b, text)
		t.parts = append(t.parts, p)
		return err
	}
}

// part reads a block that can stand in a message as well as in a tool's result.
func (d anthropic) part(typ string, b, text value) (part, error) {
	switch typ {
	case "text":
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

// image makes a URL of a picture: a data: URL when it comes with the body.
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

// toolResult reads what a tool gave. A server has no place for is_error: the text itself tells the model.
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
			p, err := d.part(e.member("type").text(), e, e.member("text"))
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
