package dialect

import "github.com/batholith/batholith"

// converseStream writes the events of ConverseStream (Bedrock: ConverseStreamOutput). Nova's
// chunks have the same events, each as the only member of an object:
//
//	messageStart       {"role":"assistant"}
//	contentBlockStart  {"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"…","name":"…"}}}; of tool calls only
//	contentBlockDelta  {"contentBlockIndex":0,"delta":{"text":"Hi"}}
//	contentBlockStop   {"contentBlockIndex":0}
//	messageStop        {"stopReason":"end_turn"}
//	metadata           {"usage":{…},"metrics":{"latencyMs":12}}
type converseStream struct {
	input value
	nova  bool
	blocks
}

// writer implements streaming.
func (d converse) writer(input value) (streamWriter, error) {
	return &converseStream{input: input, blocks: newBlocks()}, nil
}

// writer implements streaming.
func (d nova) writer(input value) (streamWriter, error) {
	return &converseStream{input: input, nova: true, blocks: newBlocks()}, nil
}

// event emits an event. add writes further members beside it, in Nova's chunks.
func (s *converseStream) event(h *hub, typ string, payload buffer, add func(*buffer)) {
	if !s.nova {
		h.emit(typ, payload)
		return
	}
	b := make(buffer, 0, len(payload)+len(typ)+8)
	b.open('{')
	b.key(typ)
	b.raw(payload)
	if add != nil {
		add(&b)
	}
	b.close('}')
	h.emit(chunkEvent, b)
}

// begin implements streamWriter.
func (s *converseStream) begin(h *hub) {
	s.event(h, "messageStart", buffer(`{"role":"assistant"}`), nil)
}

// text implements streamWriter.
func (s *converseStream) text(h *hub, _ int, piece value) {
	s.block(h, blockText)
	s.delta(h, `{"text":`, piece, `}`)
}

// thought implements streamWriter.
func (s *converseStream) thought(h *hub, _ int, piece value) {
	s.block(h, blockThought)
	s.delta(h, `{"reasoningContent":{"text":`, piece, `}}`)
}

// call implements streamWriter.
func (s *converseStream) call(h *hub, _, n int, id string, name value) {
	s.block(h, blockTool)
	var b buffer
	b.open('{')
	b.integerMember("contentBlockIndex", s.index)
	b.literal(`"start":{"toolUse":{`)
	b.textMember("toolUseId", madeID(h, "tooluse_", id, n))
	b.member("name", name)
	b = append(b, "}}}"...)
	s.event(h, "contentBlockStart", b, nil)
}

// arguments implements streamWriter.
func (s *converseStream) arguments(h *hub, _, _ int, piece value) {
	s.delta(h, `{"toolUse":{"input":`, piece, `}}`)
}

// block begins a block, unless one of its kind is open.
func (s *converseStream) block(h *hub, kind block) {
	before := s.index
	if ended, _ := s.turn(kind); ended {
		var b buffer
		b.open('{')
		b.integerMember("contentBlockIndex", before)
		b.close('}')
		s.event(h, "contentBlockStop", b, nil)
	}
}

// delta writes a piece of the open block, between the two parts of its content.
func (s *converseStream) delta(h *hub, before string, piece value, after string) {
	b := make(buffer, 0, len(piece)+len(before)+64)
	b.open('{')
	b.integerMember("contentBlockIndex", s.index)
	b.key("delta")
	b.literal(before)
	b.raw(piece)
	b = append(b, after...)
	b.close('}')
	s.event(h, "contentBlockDelta", b, nil)
}

// end implements streamWriter. What the whole answer says beside its content is divided between
// the last two events.
func (s *converseStream) end(h *hub, c completion, a batholith.Answer, t StreamTimes) {
	if s.empty(c) {
		s.block(h, blockText)
		s.delta(h, `{"text":`, value(`""`), `}`)
	}
	s.block(h, blockNone)
	whole := value(a.Output)
	var b buffer
	b.open('{')
	b.member("stopReason", whole.member("stopReason"))
	b.member("additionalModelResponseFields", whole.member("additionalModelResponseFields"))
	b.close('}')
	s.event(h, "messageStop", b, nil)
	b = nil
	b.open('{')
	b.member("usage", whole.member("usage"))
	if s.nova {
		b.literal(`"metrics":{},"trace":{}`)
	}
	b.member("metrics", whole.member("metrics"))
	b.close('}')
	s.event(h, "metadata", b, func(b *buffer) { b.metrics(a, t) })
}
