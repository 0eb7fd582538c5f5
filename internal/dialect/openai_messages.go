package dialect

// evened rewrites messages in the form that every server accepts. Mistral's API also allows an
// image as a plain URL, tool calls without a type or with arguments as an object, and a member
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
				b.evenContent(v)
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

// evenContent writes the URL of an image as an object.
func (b *buffer) evenContent(content value) {
	if content.kind() != '[' { // a string, which needs no change
		b.raw(content)
		return
	}
	b.open('[')
	for _, p := range content.elements() {
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
}
