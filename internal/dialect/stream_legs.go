package dialect

import (
	"bytes"

	"github.com/batholith/batholith"
)

// streamLeg is implemented by legs whose protocol has streams. Answers of other legs' servers come
// whole, and are one event.
type streamLeg interface {
	leg
	// streamed returns a call that asks for a stream.
	streamed(call batholith.Call) batholith.Call
	// decoder returns the reader of the stream of one call: it converts an event to chunks of
	// OpenAI's protocol. done reports whether the stream is over.
	decoder(call batholith.Call) func(data []byte) (chunks [][]byte, done bool, err error)
}

// nativeStreams is implemented by translators that pass the events of a server on.
type nativeStreams interface {
	translator
	streamed(call batholith.Call) batholith.Call
	native(c reading, input value, call batholith.Call) Stream
}

// formOf returns the translator of a body's own format.
func formOf(t translator, body value) (translator, error) {
	for {
		var of byShape
		switch shaped := t.(type) {
		case byShape:
			of = shaped
		case alwaysChat:
			of = shaped.byShape
		default:
			return t, nil
		}
		next, err := of(body)
		if err != nil {
			return nil, err
		}
		t = next
	}
}

// streamable returns an error if answers to a body cannot be streamed.
func streamable(t translator, body value) error {
	switch form := t.(type) {
	case nativeInvoke:
		own, err := formOf(form.t, body)
		if err == nil {
			err = streamable(own, body)
		}
		return err
	case nativeStreams:
		return nil
	case crossing:
		_, err := writerOf(form.t, body)
		return err
	}
	_, err := writerOf(t, body)
	return err
}

// asStream returns the call that asks for a stream.
func asStream(t translator, call batholith.Call) batholith.Call {
	switch form := t.(type) {
	case nativeStreams:
		return form.streamed(call)
	case crossing:
		if l, ok := form.l.(streamLeg); ok {
			return l.streamed(call)
		}
		return call
	}
	return streamedCall(call)
}

// newHub returns the hub of one answer.
func newHub(t translator, input value, call batholith.Call) *hub {
	h := &hub{t: t, input: input, call: call}
	if form, ok := t.(crossing); ok {
		h.t = form.t
		if l, ok := form.l.(streamLeg); ok {
			h.decode = l.decoder(call)
		} else {
			h.decode = func(data []byte) ([][]byte, bool, error) {
				hub, err := form.l.answer(call, data)
				return [][]byte{hub}, true, err
			}
		}
	}
	h.w, _ = writerOf(h.t, input) // StreamRequest has checked it
	_, h.verbatim = h.w.(verbatim)
	_, h.prompted = h.w.(prompted)
	return h
}

// withStream adds the member that asks for a stream.
func withStream(call batholith.Call) batholith.Call {
	return withMembers(call, `"stream":true`)
}

// withMembers adds constant members to the body.
func withMembers(call batholith.Call, members string) batholith.Call {
	b := buffer(trim(call.Body))
	b = b[:len(b)-1]
	b.literal(members)
	b.close('}')
	call.Body = b
	return call
}

// streamed implements streamLeg.
func (anthropicLeg) streamed(call batholith.Call) batholith.Call { return withStream(call) }

// decoder implements streamLeg.
func (anthropicLeg) decoder(call batholith.Call) func([]byte) ([][]byte, bool, error) {
	d := &messageDecoder{call: call, calls: map[int64]int{}}
	return d.decode
}

// messageDecoder converts the events of the Messages API to OpenAI's chunks.
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

// streamed implements nativeStreams.
func (d nativeMessages) streamed(call batholith.Call) batholith.Call { return withStream(call) }

// native implements nativeStreams.
func (d nativeMessages) native(c reading, input value, call batholith.Call) Stream {
	return &messageStream{nativeMessages: d, input: input, call: call}
}

// messageStream passes the events of the Messages API on, and joins them to a whole message.
type messageStream struct {
	nativeMessages
	input value
	call  batholith.Call

	head   value // the message of message_start
	blocks []*blockSoFar
	delta  []param // of message_delta
	usage  messageUsage
	size   int
	done   bool
}

// blockSoFar is what the events have said of one block.
type blockSoFar struct {
	start value
	text  []param // joined texts, by the name of the member
	input pieces  // the JSON of a tool's input
	cites []value // citations
}

// Done implements [Stream].
func (s *messageStream) Done() bool { return s.done }

// Event implements [Stream].
func (s *messageStream) Event(data []byte) ([]Event, error) {
	if len(trim(data)) == 0 {
		return nil, nil
	}
	doc, err := answerObject(bytes.Clone(data))
	if err != nil {
		return nil, err
	}
	if s.size += len(doc); s.size > maxStreamed {
		return nil, nonsense("it is longer than %d MiB", maxStreamed>>20)
	}
	typ := doc.member("type").text()
	switch typ {
	case "message_start":
		s.head = doc.member("message")
		s.usage.take(s.head.member("usage"))
		return []Event{{typ, s.renamed(doc)}}, nil
	case "content_block_start":
		s.blocks = append(s.blocks, &blockSoFar{start: doc.member("content_block")})
	case "content_block_delta":
		if n := len(s.blocks); n > 0 {
			s.blocks[n-1].take(doc.member("delta"))
		}
	case "message_delta":
		s.usage.take(doc.member("usage"))
		for name, v := range doc.member("delta").members() {
			keep(&s.delta, name, v)
		}
		return nil, nil // End writes it
	case "message_stop":
		s.done = true
		return nil, nil // likewise
	case "error":
		return nil, errorWithin(doc.member("error"))
	case "ping":
		return nil, nil
	case "message":
		return s.unstreamed(doc), nil
	case "content_block_stop":
	default:
		return nil, nonsense("its stream has an event of the type %q", shortened(typ, 40))
	}
	return []Event{{typ, buffer(doc)}}, nil
}

// unstreamed makes the events of a whole message, from a server that does not stream. Each block
// begins with all of its content.
func (s *messageStream) unstreamed(doc value) (events []Event) {
	var head buffer
	head.open('{')
	for name, v := range doc.members() {
		switch name {
		case "content":
			for _, block := range v.elements() {
				s.blocks = append(s.blocks, &blockSoFar{start: block})
			}
		case "stop_reason", "stop_sequence":
			s.delta = append(s.delta, param{name, v})
			head.anyKey(name)
			head.literal("null")
		case "usage":
			s.usage.take(v)
			fallthrough
		default:
			head.anyKey(name)
			head.raw(v)
		}
	}
	head.literal(`"content":[]`)
	head.close('}')
	s.head, s.done = value(head), true
	start := append(append(buffer(`{"type":"message_start","message":`), head...), '}')
	events = append(events, Event{"message_start", s.renamed(value(start))})
	for i, block := range s.blocks {
		var b, stop buffer
		b.literal(`{"type":"content_block_start"`)
		b.integerMember("index", int64(i))
		b.member("content_block", block.start)
		b.close('}')
		stop.literal(`{"type":"content_block_stop"`)
		stop.integerMember("index", int64(i))
		stop.close('}')
		events = append(events, Event{"content_block_start", b}, Event{"content_block_stop", stop})
	}
	return events
}

// renamed returns message_start with the job's name of the model.
func (s *messageStream) renamed(doc value) buffer {
	b := make(buffer, 0, len(doc)+64)
	b.open('{')
	for raw, v := range doc.fields() {
		b.raw(raw)
		b.close(':')
		if !raw.is("message") {
			b.raw(v)
			continue
		}
		b.open('{')
		for name, m := range v.fields() {
			b.raw(name)
			b.close(':')
			if name.is("model") {
				b.text(claudeName(s.shown(m.text())))
			} else {
				b.raw(m)
			}
		}
		b.close('}')
	}
	b.close('}')
	return b
}

// take takes in a piece of a block: text, thinking, signature, the JSON of an input, a citation.
func (s *blockSoFar) take(delta value) {
	for name, v := range delta.present() {
		switch {
		case name == "type":
		case name == "partial_json" && v.kind() == '"':
			s.input.add(v)
		case v.kind() == '"':
			for i := range s.text {
				if s.text[i].name == name {
					s.text[i].raw = joined(s.text[i].raw, v)
					name = ""
				}
			}
			if name != "" {
				s.text = append(s.text, param{name, joined(s.start.member(name), v)})
			}
		case name == "citation":
			s.cites = append(s.cites, v)
		}
	}
}

// whole writes the joined block.
func (s *blockSoFar) whole(b *buffer) {
	b.open('{')
	for name, v := range s.start.members() {
		switch {
		case name == "input" && s.input.said:
			args, err := parseAnswer([]byte(quotes(s.input.b).text()))
			if err == nil {
				v = args
			} else if len(s.input.b) > 0 {
				v = cutObject([]byte(quotes(s.input.b).text()))
			}
		case name == "citations" && len(s.cites) > 0:
			continue
		}
		for _, t := range s.text {
			if t.name == name {
				v = t.raw
			}
		}
		b.anyKey(name)
		b.raw(v)
	}
	if len(s.cites) > 0 {
		b.key("citations")
		b.open('[')
		for _, v := range s.cites {
			b.raw(v)
		}
		b.close(']')
	}
	for _, t := range s.text {
		if s.start.member(t.name) == nil {
			b.anyKey(t.name)
			b.raw(t.raw)
		}
	}
	b.close('}')
}

// End implements [Stream].
func (s *messageStream) End(t StreamTimes) ([]Event, batholith.Answer, error) {
	told := false
	for _, p := range s.delta {
		told = told || p.name == "stop_reason" && !p.raw.absent()
	}
	if s.head.kind() != '{' || !s.done && !told {
		return nil, batholith.Answer{}, brokenStream()
	}
	b := make(buffer, 0, s.size)
	b.open('{')
	for name, v := range s.head.members() {
		switch name {
		case "content", "usage", "stop_reason", "stop_sequence":
		default:
			b.anyKey(name)
			b.raw(v)
		}
	}
	b.key("content")
	b.open('[')
	for _, block := range s.blocks {
		block.whole(&b)
	}
	b.close(']')
	b.params(s.delta)
	b.member("usage", s.usage.value())
	b.close('}')
	a, err := reading{t: s.nativeMessages}.Answer(s.input, s.call, b)
	if err != nil {
		return nil, batholith.Answer{}, err
	}
	var delta, stop buffer
	delta.literal(`{"type":"message_delta","delta":{`)
	keep(&s.delta, "stop_reason", value(a.Output).member("stop_reason")) // some servers tell the end otherwise
	delta.params(s.delta)
	delta.close('}')
	delta.member("usage", s.usage.value())
	delta.close('}')
	stop.open('{')
	stop.textMember("type", "message_stop")
	stop.metrics(a, t)
	stop.close('}')
	return []Event{{"message_delta", delta}, {"message_stop", stop}}, a, nil
}
