package dialect

import "github.com/batholith/batholith"

// responseStream writes the events of OpenAI's Responses API. Each has a type and a number:
//
//	response.created, response.in_progress
//	response.output_item.added, response.content_part.added
//	response.output_text.delta …, response.output_text.done
//	response.content_part.done, response.output_item.done
//	response.completed, or response.incomplete
type responseStream struct {
	responses
	input  value
	number int64
	blocks
	id   string // of the open item
	said []byte // content of the open item, of its JSON string
	tool struct {
		call string
		name value
	}
	items []buffer // the finished ones
}

// writer implements streaming.
func (d responses) writer(input value) (streamWriter, error) {
	return &responseStream{responses: d, input: input, blocks: newBlocks()}, nil
}

// event emits an event. write adds the members beside its type and number.
func (s *responseStream) event(h *hub, typ string, write func(b *buffer)) {
	var b buffer
	b.open('{')
	b.textMember("type", typ)
	b.integerMember("sequence_number", s.number)
	write(&b)
	b.close('}')
	s.number++
	h.emit(typ, b)
}

// begin implements streamWriter.
func (s *responseStream) begin(h *hub) {
	c := completion{model: h.model, created: h.member("created")}
	for _, typ := range [...]string{"response.created", "response.in_progress"} {
		s.event(h, typ, func(b *buffer) {
			b.key("response")
			s.object(b, s.input, c, h.name("resp_"), "in_progress")
		})
	}
}

// text implements streamWriter.
func (s *responseStream) text(h *hub, _ int, piece value) {
	if s.item(h, blockText, "msg_", "", nil) {
		s.place(h, "response.content_part.added", func(b *buffer) {
			b.literal(`"content_index":0`)
			b.key("part")
			b.raw(responsePart(value(`""`), nil))
		})
	}
	s.delta(h, "response.output_text.delta", `"content_index":0,"logprobs":[]`, piece)
}

// thought implements streamWriter.
func (s *responseStream) thought(h *hub, _ int, piece value) {
	s.item(h, blockThought, "rs_", "", nil)
	s.delta(h, "response.reasoning_text.delta", `"content_index":0`, piece)
}

// call implements streamWriter.
func (s *responseStream) call(h *hub, _, n int, id string, name value) {
	s.item(h, blockTool, "fc_", madeID(h, "call_", id, n), name)
}

// arguments implements streamWriter.
func (s *responseStream) arguments(h *hub, _, _ int, piece value) {
	s.delta(h, "response.function_call_arguments.delta", "", piece)
}

// place emits an event of the open item.
func (s *responseStream) place(h *hub, typ string, write func(b *buffer)) {
	s.event(h, typ, func(b *buffer) {
		b.textMember("item_id", s.id)
		b.integerMember("output_index", s.index)
		write(b)
	})
}

// delta emits a piece of the open item.
func (s *responseStream) delta(h *hub, typ, more string, piece value) {
	s.said = append(s.said, piece[1:len(piece)-1]...)
	s.place(h, typ, func(b *buffer) {
		if more != "" {
			b.literal(more)
		}
		b.member("delta", piece)
	})
}

// item begins an item, unless one of its kind is open. It reports whether it did.
func (s *responseStream) item(h *hub, kind block, prefix, call string, name value) bool {
	if s.open == kind && kind != blockTool {
		return false
	}
	s.finish(h)
	if s.turn(kind); kind == blockNone {
		return false
	}
	s.id = completion{id: h.ownID()}.itemName(prefix, int(s.index))
	s.said, s.tool.call, s.tool.name = nil, call, name
	s.event(h, "response.output_item.added", func(b *buffer) {
		b.integerMember("output_index", s.index)
		b.key("item")
		b.raw(s.content("in_progress"))
	})
	return true
}

// content returns the open item: with its content if it is finished.
func (s *responseStream) content(status string) buffer {
	var text value
	if status == "completed" {
		text = quotes(s.said)
	}
	switch s.open {
	case blockThought:
		return responseThought(s.id, text)
	case blockTool:
		return responseCall(s.id, s.tool.call, s.tool.name, quotes(s.said), status)
	}
	return responseMessage(s.id, text, nil, status)
}

// finish ends the open item.
func (s *responseStream) finish(h *hub) {
	text := quotes(s.said)
	switch s.open {
	case blockNone:
		return
	case blockText:
		s.place(h, "response.output_text.done", func(b *buffer) {
			b.literal(`"content_index":0,"logprobs":[]`)
			b.member("text", text)
		})
		s.place(h, "response.content_part.done", func(b *buffer) {
			b.literal(`"content_index":0`)
			b.key("part")
			b.raw(responsePart(text, nil))
		})
	case blockThought:
		s.place(h, "response.reasoning_text.done", func(b *buffer) {
			b.literal(`"content_index":0`)
			b.member("text", text)
		})
	case blockTool:
		s.place(h, "response.function_call_arguments.done", func(b *buffer) {
			b.member("name", s.tool.name)
			b.member("arguments", text)
		})
	}
	item := s.content("completed")
	s.items = append(s.items, item)
	s.event(h, "response.output_item.done", func(b *buffer) {
		b.integerMember("output_index", s.index)
		b.key("item")
		b.raw(item)
	})
}

// end implements streamWriter. The last event has the whole response, with the items as they were
// sent.
func (s *responseStream) end(h *hub, c completion, a batholith.Answer, _ StreamTimes) {
	if s.empty(c) {
		s.text(h, 0, value(`""`))
	}
	s.finish(h)
	s.turn(blockNone)
	status := responseStatus(c)
	s.event(h, "response."+status, func(b *buffer) {
		b.key("response")
		b.open('{')
		for name, v := range value(a.Output).members() {
			b.anyKey(name)
			if name != "output" {
				b.raw(v)
				continue
			}
			b.open('[')
			for _, item := range s.items {
				b.raw(item)
			}
			b.close(']')
		}
		b.close('}')
	})
}
