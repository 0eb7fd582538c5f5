package dialect

import (
	"bytes"

	"github.com/batholith/batholith"
)

// streamed implements streamLeg.
func (anthropicLeg) streamed(call batholith.Call) batholith.Call { return withStream(call) }

// decoder implements streamLeg.
func (anthropicLeg) decoder(call batholith.Call) func([]byte) ([][]byte, bool, error) {
	d := &messageDecoder{call: call, calls: map[int64]int{}}
	return d.decode
}

// messageDecoder converts the events of the Messages API to OpenAI's chunks:
//
//	{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}
//	{"choices":[{"index":0,"delta":{"content":"Hi"}}]}
type messageDecoder struct {
	call   batholith.Call
	calls  map[int64]int // numbers of the tool calls, by the index of their block
	usage  messageUsage
	text   pieces
	reason value // stop_reason
}

// messageUsage joins the usage of message_start with that of message_delta, which may have only
// what has changed.
type messageUsage struct{ all []param }

// take takes in a usage.
func (u *messageUsage) take(v value) {
	for name, n := range v.present() {
		keep(&u.all, name, n)
	}
}

// value returns the joined usage.
func (u *messageUsage) value() value {
	var b buffer
	b.open('{')
	b.params(u.all)
	b.close('}')
	return value(b)
}

// decode converts one event. Events of other types, such as ping, have no counterpart.
func (d *messageDecoder) decode(data []byte) (chunks [][]byte, done bool, err error) {
	doc, err := answerObject(bytes.Clone(data)) // the usage is kept
	if err != nil {
		return nil, false, err
	}
	var b buffer
	switch typ := doc.member("type"); typ.text() {
	case "message": // a server that does not stream
		hub, err := anthropicLeg{}.answer(batholith.Call{}, data)
		return [][]byte{hub}, true, err
	case "message_start":
		m := doc.member("message")
		d.usage.take(m.member("usage"))
		b.open('{')
		b.member("id", m.member("id"))
		b.member("model", m.member("model"))
		b.literal(`"choices":[]`)
		b.close('}')
	case "content_block_start":
		b = d.start(doc)
	case "content_block_delta":
		b = d.delta(doc)
	case "message_delta":
		d.usage.take(doc.member("usage"))
		b, err = d.end(doc.member("delta"))
	case "message_stop":
		return nil, true, d.formed()
	case "error":
		return nil, false, errorWithin(doc.member("error"))
	}
	if len(b) == 0 || err != nil {
		return nil, false, err
	}
	return [][]byte{b}, false, nil
}

// formed returns an error if the whole text is not JSON, but the request asks for JSON.
func (d *messageDecoder) formed() error {
	end, _ := endOf(d.reason)
	if len(d.calls) > 0 || end != endStop && end != "" || knownFormat(d.call, d.text.value()) {
		return nil
	}
	return notOfTheFormat()
}

// hubDelta writes a chunk with a delta.
func hubDelta(write func(b *buffer)) (b buffer) {
	b.literal(`{"choices":[{"index":0,"delta":{`)
	write(&b)
	b = append(b, "}}]}"...)
	return b
}

// start converts the beginning of a block.
func (d *messageDecoder) start(doc value) buffer {
	block := doc.member("content_block")
	switch block.member("type").text() {
	case "tool_use":
		index, _ := doc.member("index").integer()
		n := len(d.calls)
		d.calls[index] = n
		return hubDelta(func(b *buffer) {
			b.literal(`"tool_calls":[{`)
			b.integerMember("index", int64(n))
			b.member("id", block.member("id"))
			b.literal(`"function":{`)
			b.member("name", block.member("name"))
			if input := block.member("input"); input.kind() == '{' && string(input) != "{}" { // a gateway that sends it whole
				b.key("arguments")
				b.quoted(input)
			}
			*b = append(*b, "}}]"...)
		})
	case "text":
		if text := block.member("text"); text.kind() == '"' {
			d.text.add(text)
			return hubDelta(func(b *buffer) { b.member("content", text) })
		}
	case "thinking":
		if thought := block.member("thinking"); thought.kind() == '"' && !thought.is("") {
			return hubDelta(func(b *buffer) { b.member("reasoning_content", thought) })
		}
	}
	return nil
}

// delta converts a piece of a block.
func (d *messageDecoder) delta(doc value) buffer {
	delta := doc.member("delta")
	switch delta.member("type").text() {
	case "text_delta":
		text := delta.member("text")
		if text.kind() == '"' {
			d.text.add(text)
		}
		return hubDelta(func(b *buffer) { b.member("content", text) })
	case "thinking_delta":
		return hubDelta(func(b *buffer) { b.member("reasoning_content", delta.member("thinking")) })
	case "input_json_delta":
		index, _ := doc.member("index").integer()
		n, ok := d.calls[index]
		if !ok {
			return nil // of a block of the server's own tool
		}
		return hubDelta(func(b *buffer) {
			b.literal(`"tool_calls":[{`)
			b.integerMember("index", int64(n))
			b.literal(`"function":{`)
			b.member("arguments", delta.member("partial_json"))
			*b = append(*b, "}}]"...)
		})
	}
	return nil
}

// end converts the end of a message.
func (d *messageDecoder) end(delta value) (b buffer, err error) {
	if len(d.calls) > 0 {
		b.literal(`{"choices":[{"index":0,"delta":{}`)
	} else { // a turn may end without a word
		b.literal(`{"choices":[{"index":0,"delta":{"content":""}`)
	}
	if reason := delta.member("stop_reason"); reason.says() {
		d.reason = reason
		err = d.formed()
		b.member("finish_reason", reason)
		if reason.is("stop_sequence") {
			b.member("stop_reason", delta.member("stop_sequence"))
		}
	}
	b = append(b, "}]"...)
	b.usage(messageTokens(d.usage.value()), true)
	b.close('}')
	return b, err
}
