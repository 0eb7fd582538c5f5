package dialect

import (
	"bytes"

	"github.com/batholith/batholith"
)

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
