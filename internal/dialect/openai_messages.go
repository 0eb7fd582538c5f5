package dialect

import "github.com/batholith/batholith/internal/document"

// evened rewrites messages in the form that every server accepts. Mistral's API also allows an
// image as a plain URL, files, tool calls without a type or with arguments as an object, and a member
// that marks the beginning of the answer ("prefix").
func (r *openaiRequest) evened(messages value) value {
	b := make(buffer, 0, len(messages)+64)
	last := messages.len() - 1 // index of the last message, the only one that prefix may mark
	b.open('[')
	for i, m := range messages.elements() {
		b.open('{')
		for name, v := range m.members() {
			switch name {
			case "prefix":
				r.begun = r.begun || i == last && v.isTrue()
			case "tool_calls":
				b.key(name)
				b.evenCalls(v)
			case "content":
				b.key(name)
				if err := r.evenContent(&b, v); err != nil && r.badMessage == nil {
					r.badMessage = hintConverse(r.body, at("messages", at(i, at("content", err))))
				}
			default:
				b.anyKey(name)
				b.raw(v)
			}
		}
		b.close('}')
	}
	b.close(']')
	return value(b)
}

// evenCalls writes tool calls with a type, and with arguments as a string that contains JSON.
func (b *buffer) evenCalls(calls value) {
	if calls.kind() != '[' {
		b.raw(calls)
		return
	}
	b.open('[')
	for _, call := range calls.elements() {
		if call.kind() != '{' { // not a valid call: the server reports it
			b.raw(call)
			continue
		}
		b.open('{')
		for name, v := range call.members() {
			switch {
			case name == "type":
				b.member(name, v)
			case name == "function" && v.kind() == '{':
				if call.member("type").absent() {
					b.textMember("type", "function")
				}
				b.key(name)
				b.evenFunction(v)
			default:
				b.anyKey(name)
				b.raw(v)
			}
		}
		b.close('}')
	}
	b.close(']')
}

// evenFunction writes the function of a call with its arguments as a string.
func (b *buffer) evenFunction(f value) {
	b.open('{')
	for name, v := range f.members() {
		b.anyKey(name)
		if name == "arguments" && v.kind() == '{' {
			b.quoted(v)
			continue
		}
		b.raw(v)
	}
	b.close('}')
}

// evenContent writes the URL of an image as an object, and a file as its text.
func (r *openaiRequest) evenContent(b *buffer, content value) error {
	if content.kind() != '[' { // a string, which needs no change
		b.raw(content)
		return nil
	}
	b.open('[')
	for i, p := range content.elements() {
		if name, data, place, ok, _ := filePart(p); ok { // part has checked it
			if !p.member(cacheMark).absent() {
				r.files.dropped("messages.content." + cacheMark)
			}
			if kind, content, err := fileContent(name, data); err == nil && kind == document.PDF && r.pdfs {
				b.pdf(name, content)
				continue
			}
			parts, err := r.textOf(&r.files, "messages.content."+place, name, data)
			if err != nil {
				return at(i, at(place, err))
			}
			for _, text := range parts {
				b.open('{')
				b.literal(`"type":"text"`)
				b.member("text", text.text)
				b.close('}')
			}
			continue
		}
		url := p.member("image_url")
		if url.kind() != '"' { // already an object, or not an image
			b.raw(p)
			continue
		}
		b.open('{')
		for name, v := range p.members() {
			b.anyKey(name)
			if name != "image_url" {
				b.raw(v)
				continue
			}
			b.open('{')
			b.member("url", v)
			b.close('}')
		}
		b.close('}')
	}
	b.close(']')
	return nil
}

// pdf writes a PDF as a part in OpenAI's form. content is its Base64 as a JSON string.
func (b *buffer) pdf(name, content value) {
	b.open('{')
	b.literal(`"type":"file"`)
	b.key("file")
	b.open('{')
	if name.kind() == '"' {
		b.member("filename", name)
	}
	b.member("file_data", told("data:application/pdf;base64,", content, ""))
	b.close('}')
	b.close('}')
}
