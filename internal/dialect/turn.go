package dialect

import (
	"slices"
	"strings"
)

// turn is one parsed message. Its slices are reused for the next message.
type turn struct {
	role      string
	parts     []part
	reasoning value // JSON string: thoughts of the model in an earlier turn
	calls     []toolCall
	results   []toolResult
}

// reset clears t for the next message and keeps its memory.
func (t *turn) reset(role string) {
	*t = turn{role: role, parts: t.parts[:0], calls: t.calls[:0], results: t.results[:0]}
}

// part is a piece of content: a text or a medium.
type part struct {
	kind string // text, image_url, video_url, input_audio
	// text is a JSON string: the text, the URL, or the Base64 data that follows prefix.
	text   value
	prefix string // "data:image/png;base64,"; for audio its format; for a text what is written before it
}

// toolCall is a tool call of the assistant. id and name are JSON strings; arguments is any
// JSON.
type toolCall struct {
	id, name, arguments value
}

// toolResult is the result of a tool call. id is the call's id.
type toolResult struct {
	id     value
	parts  []part
	failed bool
}

// think appends a thought to those of the turn.
func (t *turn) think(thought value) {
	if t.reasoning.absent() {
		t.reasoning = thought
		return
	}
	var b textBuffer
	b.add(t.reasoning)
	b.say("")
	b.add(thought)
	t.reasoning = b.value()
}

// turn adds a message. Consecutive messages of one role are joined, as Claude does; the chat
// templates of many models reject them.
func (c *chat) turn(t *turn) {
	if !c.held.takes(t) {
		c.flush()
	}
	c.held.add(t)
	if c.last = t.role; len(t.results) > 0 && len(t.parts) == 0 && !slices.ContainsFunc(t.results, toolResult.shows) {
		c.last = "tool"
	}
}

// takes reports whether the content of t may be appended to held, in one message.
func (held *turn) takes(t *turn) bool {
	return held.role == t.role && (t.role == "user" || t.role == "assistant") && (len(t.results) == 0 || len(held.parts) == 0)
}

// add appends the content of t to held.
func (held *turn) add(t *turn) {
	held.role = t.role
	held.parts, held.calls, held.results = append(held.parts, t.parts...), append(held.calls, t.calls...), append(held.results, t.results...)
	if !t.reasoning.absent() {
		held.think(t.reasoning)
	}
}

// flush writes the held message, if there is one.
func (c *chat) flush() {
	if c.held.role != "" {
		c.write(&c.held)
		c.held.reset("")
	}
}

// shows reports whether a result contains a medium.
func (r toolResult) shows() bool { return slices.ContainsFunc(r.parts, part.isMedium) }

// write writes a message. Tool results are messages of their own and come before the user's
// text. In OpenAI's format they contain text only, so their images follow in the user's
// message.
func (c *chat) write(t *turn) {
	var media []part // images and other media of tool results
	for i := range t.results {
		media = c.result(&t.results[i], media)
	}
	if len(media) > 0 {
		t.parts = append(media, t.parts...)
	}
	if len(t.parts) == 0 && len(t.calls) == 0 && len(t.results) > 0 {
		return
	}
	c.open('{')
	c.textMember("role", t.role)
	// A message with tool calls may have no content.
	if len(t.parts) > 0 || len(t.calls) == 0 {
		c.content(t.parts)
	}
	if !t.reasoning.absent() {
		c.member("reasoning_content", t.reasoning)
		c.spare |= spareThoughts
	}
	c.calls(t.calls)
	c.close('}')
}

// result writes a tool result as a message, and returns media with the result's media appended.
func (c *chat) result(r *toolResult, media []part) []part {
	parts := r.parts
	// OpenAI's tool messages contain text only: media move to the next user message, with a
	// text that says which call they belong to.
	if i := slices.IndexFunc(parts, part.isMedium); i >= 0 {
		parts = slices.Clone(parts[:i])
		media = append(media, part{kind: "text", text: told("Of the result of the tool call ", r.id, ":")})
		for _, p := range r.parts[i:] {
			if p.isMedium() {
				media = append(media, p)
			} else {
				parts = append(parts, p)
			}
		}
		if len(parts) == 0 {
			parts = append(parts, part{kind: "text", text: value(`"It is in the next message."`)})
		}
	}
	if r.failed {
		parts = failure(parts)
	}
	c.open('{')
	c.textMember("role", "tool")
	c.member("tool_call_id", r.id)
	c.content(parts)
	c.close('}')
	return media
}

// isMedium reports whether p is not text.
func (p part) isMedium() bool { return p.kind != "text" }

// failure marks a result as an error by the prefix "Error: ", because OpenAI's format has no
// other way. A text that begins with "error" is unchanged.
func failure(parts []part) []part {
	parts = slices.DeleteFunc(slices.Clone(parts), func(p part) bool { return p.text.is("") })
	if len(parts) == 0 {
		return []part{{kind: "text", text: value(`"Error: the tool failed and gave no reason."`)}}
	}
	const mark = "error"
	// first includes the opening quote, so the text starts at index 1.
	if first := parts[0].text; len(first) <= len(mark) || !strings.EqualFold(string(first[1:1+len(mark)]), mark) {
		parts[0].prefix = "Error: "
	}
	return parts
}

// content writes a single text as a string, which every server accepts, and anything else as a
// list of parts.
func (c *chat) content(parts []part) {
	c.key("content")
	if len(parts) == 0 {
		c.literal(`""`)
		return
	}
	if len(parts) == 1 && parts[0].kind == "text" {
		c.joined(parts[0].prefix, parts[0].text)
		return
	}
	c.open('[')
	for _, p := range parts {
		c.part(p)
	}
	c.close(']')
}

// part writes a text or a medium in OpenAI's form; video in vLLM's.
func (c *chat) part(p part) {
	c.open('{')
	c.textMember("type", p.kind)
	c.key(p.kind)
	switch p.kind {
	case "text":
		c.joined(p.prefix, p.text)
	case "input_audio":
		c.open('{')
		c.member("data", p.text)
		c.textMember("format", p.prefix)
		c.close('}')
	default:
		c.open('{')
		c.key("url")
		c.joined(p.prefix, p.text)
		c.close('}')
	}
	c.close('}')
}

// joined writes one string: prefix followed by the content of v.
func (b *buffer) joined(prefix string, v value) {
	if prefix == "" {
		b.raw(v)
		return
	}
	b.text(prefix)
	*b = (*b)[:len(*b)-1]
	*b = append(*b, v[1:]...)
}

// calls writes the tool calls of an assistant turn. Arguments are a string that
// contains JSON (OpenAI: tool_calls).
func (b *buffer) calls(calls []toolCall) {
	if len(calls) == 0 {
		return
	}
	b.key("tool_calls")
	b.open('[')
	for _, call := range calls {
		b.open('{')
		b.member("id", call.id)
		b.textMember("type", "function")
		b.key("function")
		b.open('{')
		b.member("name", call.name)
		b.key("arguments")
		b.quoted(call.arguments)
		b.close('}')
		b.close('}')
	}
	b.close(']')
}
