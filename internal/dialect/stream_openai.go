package dialect

import "github.com/batholith/batholith"

// openaiStream writes OpenAI's chunks (OpenAI: chat.completion.chunk):
//
//	{"id":"…","object":"chat.completion.chunk","created":1,"model":"…","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}]}
//	{…,"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{…},…}
//
// The token counts are in the last chunk of InvokeModel. OpenAI's API sends them only if
// stream_options asks for them, in a chunk of their own without choices.
type openaiStream struct {
	openai
	stop    bool         // chunks have stop_reason beside finish_reason, and message beside delta: Mistral
	counted bool         // the client asks for a chunk with the token counts
	begun   map[int]bool // choices that have a role
	inside  map[int]bool // choices that are inside <reasoning>
}

// writer implements streaming.
func (d openai) writer(input value) (streamWriter, error) {
	return newOpenAIStream(d, input, false), nil
}

// writer implements streaming.
func (d mistralChat) writer(input value) (streamWriter, error) {
	return newOpenAIStream(d.openai, input, true), nil
}

// newOpenAIStream returns a writer.
func newOpenAIStream(d openai, input value, stop bool) *openaiStream {
	return &openaiStream{openai: d, stop: stop, counted: input.member("stream_options").member("include_usage").isTrue(), begun: map[int]bool{}, inside: map[int]bool{}}
}

func (*openaiStream) verbatim() {}

func (*openaiStream) begin(*hub) {}

// text implements streamWriter.
func (s *openaiStream) text(h *hub, choice int, piece value) {
	s.leave(h, choice)
	s.delta(h, choice, func(b *buffer) { b.member("content", piece) })
}

// thought implements streamWriter. With InvokeModel, gpt-oss has thoughts between tags in the
// content.
func (s *openaiStream) thought(h *hub, choice int, piece value) {
	if !s.tagged {
		s.delta(h, choice, func(b *buffer) { b.member("reasoning_content", piece) })
		return
	}
	if !s.inside[choice] {
		s.inside[choice] = true
		piece = joined(value(`"<reasoning>"`), piece)
	}
	s.delta(h, choice, func(b *buffer) { b.member("content", piece) })
}

// leave ends the thoughts of gpt-oss.
func (s *openaiStream) leave(h *hub, choice int) {
	if s.inside[choice] {
		s.inside[choice] = false
		s.delta(h, choice, func(b *buffer) { b.literal(`"content":"</reasoning>"`) })
	}
}

// call implements streamWriter.
func (s *openaiStream) call(h *hub, choice, n int, id string, name value) {
	s.leave(h, choice)
	s.calls(h, choice, n, func(b *buffer) {
		b.textMember("id", madeID(h, "call_", id, n))
		b.literal(`"type":"function","function":{`)
		b.member("name", name)
		b.literal(`"arguments":""}`)
	})
}

// arguments implements streamWriter.
func (s *openaiStream) arguments(h *hub, choice, n int, piece value) {
	s.calls(h, choice, n, func(b *buffer) {
		b.literal(`"function":{`)
		b.member("arguments", piece)
		b.close('}')
	})
}

// calls writes a chunk with a part of one tool call.
func (s *openaiStream) calls(h *hub, choice, n int, write func(*buffer)) {
	s.delta(h, choice, func(b *buffer) {
		b.literal(`"tool_calls":[{`)
		b.integerMember("index", int64(n))
		write(b)
		*b = append(*b, "}]"...)
	})
}

// delta writes a chunk with new content of a choice.
func (s *openaiStream) delta(h *hub, choice int, write func(*buffer)) {
	role := !s.begun[choice]
	s.begun[choice] = true
	delta := func(b *buffer) {
		b.open('{')
		if role || s.stop {
			b.textMember("role", "assistant")
		}
		write(b)
		b.close('}')
	}
	b := s.chunk(h)
	b.literal(`"choices":[{`)
	b.integerMember("index", int64(choice))
	b.key("delta")
	delta(&b)
	if s.stop {
		b.key("message")
		delta(&b)
		b.literal(`"stop_reason":null`)
	}
	b.member("logprobs", h.choices[choice].newLogprobs())
	b.literal(`"finish_reason":null}]}`)
	h.emit(chunkEvent, b)
}

// chunk begins a chunk.
func (s *openaiStream) chunk(h *hub) buffer {
	b := make(buffer, 0, 256)
	b.open('{')
	b.textMember("id", h.ownID().text())
	b.textMember("object", "chat.completion.chunk")
	b.key("created")
	b.raw(firstOf(h.member("created"), value("0")))
	b.textMember("model", s.shown(h.model.text()))
	b.member("system_fingerprint", h.member("system_fingerprint"))
	b.member("service_tier", h.member("service_tier"))
	return b
}

// end implements streamWriter.
func (s *openaiStream) end(h *hub, _ completion, a batholith.Answer, t StreamTimes) {
	whole := value(a.Output)
	usage := whole.member("usage")
	n := 0
	for i, choice := range whole.member("choices").elements() {
		s.refuse(h, i, choice)
		s.leave(h, i)
		b := s.chunk(h)
		b.literal(`"choices":[{`)
		b.integerMember("index", int64(i))
		b.literal(`"delta":{`)
		if !s.begun[i] {
			b.literal(`"role":"assistant","content":""`)
		}
		b.close('}')
		if s.stop {
			b.literal(`"message":{"role":"assistant"}`)
		}
		b.member("finish_reason", choice.member("finish_reason"))
		b.member("stop_reason", choice.member("stop_reason"))
		b.member("logprobs", h.choices[i].newLogprobs())
		b = append(b, "}]"...)
		if n++; n == len(h.choices) && !t.Plain {
			b.member("usage", usage)
			b.metrics(a, t)
		}
		b.close('}')
		h.emit(chunkEvent, b)
	}
	if t.Plain && s.counted && !usage.absent() {
		b := s.chunk(h)
		b.literal(`"choices":[]`)
		b.member("usage", usage)
		b.close('}')
		h.emit(chunkEvent, b)
	}
}

// refuse writes the text of a refusal, which OpenAI has in a member of its own.
func (s *openaiStream) refuse(h *hub, i int, choice value) {
	if refusal := choice.member("message").member("refusal"); !refusal.absent() {
		s.delta(h, i, func(b *buffer) { b.member("refusal", refusal) })
	}
}

// member returns a member of the chunks other than their content.
func (h *hub) member(name string) value {
	for _, p := range h.head {
		if p.name == name {
			return p.raw
		}
	}
	return nil
}

// newLogprobs returns the probabilities that came since the last call, or nil.
func (so *choiceSoFar) newLogprobs() value {
	list := so.logprobs[0].b[so.probed:]
	so.probed = len(so.logprobs[0].b)
	if len(list) == 0 {
		return nil
	}
	if list[0] == ',' {
		list = list[1:]
	}
	return value(`{"content":[` + string(list) + `]}`)
}
