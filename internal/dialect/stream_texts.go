package dialect

import "github.com/batholith/batholith"

// textStream writes the chunks of the families whose answers are one text. Thoughts and tool
// calls have no place in them, as in their whole answers. The last chunk has no text, but the
// stop reason and the token counts.
type textStream struct {
	piece func(b *buffer, n int, text value)                // writes the members of the n-th chunk, from 1
	last  func(b *buffer, c completion, a batholith.Answer) // writes the members of the last chunk
	n     int
}

func (s *textStream) begin(*hub) {}

// text implements streamWriter.
func (s *textStream) text(h *hub, _ int, piece value) {
	s.n++
	b := make(buffer, 0, len(piece)+128)
	b.open('{')
	s.piece(&b, s.n, piece)
	b.close('}')
	h.emit(chunkEvent, b)
}

func (s *textStream) thought(*hub, int, value)           {}
func (s *textStream) call(*hub, int, int, string, value) {}
func (s *textStream) arguments(*hub, int, int, value)    {}

// end implements streamWriter.
func (s *textStream) end(h *hub, c completion, a batholith.Answer, t StreamTimes) {
	var b buffer
	b.open('{')
	s.last(&b, c, a)
	b.metrics(a, t)
	b.close('}')
	h.emit(chunkEvent, b)
}

// promptStream is a textStream for /completions.
type promptStream struct{ textStream }

func (*promptStream) prompted() {}

// writer implements streaming (Bedrock: Titan Text, streaming).
//
//	{"outputText":"Hi","index":0,"totalOutputTextTokenCount":null,"completionReason":null,"inputTextTokenCount":null}
//	{"outputText":"","index":0,"totalOutputTextTokenCount":3,"completionReason":"FINISH","inputTextTokenCount":8,…}
func (d titanText) writer(input value) (streamWriter, error) {
	return &textStream{
		piece: func(b *buffer, _ int, text value) {
			b.member("outputText", text)
			b.literal(`"index":0,"totalOutputTextTokenCount":null,"completionReason":null,"inputTextTokenCount":null`)
		},
		last: func(b *buffer, c completion, a batholith.Answer) {
			b.literal(`"outputText":"","index":0`)
			b.integerMember("totalOutputTextTokenCount", a.Tokens.Output)
			b.textMember("completionReason", d.reason(c, input))
			b.integerMember("inputTextTokenCount", a.Tokens.Input)
		},
	}, nil
}

// writer implements streaming (Bedrock: Anthropic Claude Text Completions).
//
//	{"type":"completion","completion":" Hi","stop_reason":null,"stop":null}
//	{"type":"completion","completion":"","stop_reason":"stop_sequence","stop":"\n\nHuman:",…}
func (d claudeText) writer(value) (streamWriter, error) {
	return &textStream{
		piece: func(b *buffer, _ int, text value) {
			b.textMember("type", "completion")
			b.member("completion", text)
			b.literal(`"stop_reason":null,"stop":null`)
		},
		last: func(b *buffer, _ completion, a batholith.Answer) {
			b.literal(`"type":"completion","completion":""`)
			b.member("stop_reason", value(a.Output).member("stop_reason"))
			b.key("stop")
			b.raw(value(a.Output).member("stop"))
		},
	}, nil
}

// writer implements streaming.
func (d templated) writer(body value) (streamWriter, error) {
	texts := textStream{piece: d.chunk.piece, last: d.chunk.last}
	if d.hasImages(body) { // its answer is a message
		return &texts, nil
	}
	return &promptStream{texts}, nil
}

// chunkForm is the form of a family's chunks.
type chunkForm struct {
	piece func(b *buffer, n int, text value)
	last  func(b *buffer, c completion, a batholith.Answer)
}

// llamaChunks are Llama's (Bedrock: Meta Llama, streaming). generation_token_count is the number
// of chunks so far, and in the last chunk the server's count.
//
//	{"generation":"Hi","prompt_token_count":null,"generation_token_count":1,"stop_reason":null}
//	{"generation":"","prompt_token_count":8,"generation_token_count":3,"stop_reason":"stop",…}
var llamaChunks = chunkForm{
	piece: func(b *buffer, n int, text value) {
		b.member("generation", text)
		b.literal(`"prompt_token_count":null`)
		b.integerMember("generation_token_count", int64(n))
		b.literal(`"stop_reason":null`)
	},
	last: func(b *buffer, c completion, a batholith.Answer) {
		b.literal(`"generation":""`)
		b.integerMember("prompt_token_count", a.Tokens.Input)
		b.integerMember("generation_token_count", a.Tokens.Output)
		b.textMember("stop_reason", stopOrLength(c))
	},
}

// textsChunks are those of the families that have the text in a list: Mistral under "outputs",
// DeepSeek-R1 under "choices".
//
//	{"outputs":[{"text":"Hi","stop_reason":null}]}
//	{"outputs":[{"text":"","stop_reason":"stop"}],…}
func textsChunks(name string) chunkForm {
	return chunkForm{
		piece: func(b *buffer, _ int, text value) {
			b.key(name)
			b.literal(`[{`)
			b.member("text", text)
			b.literal(`"stop_reason":null}]`)
		},
		last: func(b *buffer, c completion, _ batholith.Answer) {
			b.key(name)
			b.literal(`[{"text":""`)
			b.textMember("stop_reason", stopOrLength(c))
			*b = append(*b, "}]"...)
		},
	}
}

// cohereStream writes Cohere's events (Bedrock: Cohere Command R, streaming):
//
//	{"event_type":"stream-start","is_finished":false,"generation_id":"generation_…"}
//	{"event_type":"text-generation","is_finished":false,"text":"Hi"}
//	{"event_type":"tool-calls-generation","is_finished":false,"text":"","tool_calls":[…]}
//	{"event_type":"stream-end","is_finished":true,"finish_reason":"COMPLETE","response":{the whole answer},…}
type cohereStream struct{ textStream }

// writer implements streaming.
func (d cohere) writer(value) (streamWriter, error) {
	s := &cohereStream{}
	s.piece = func(b *buffer, _ int, text value) {
		b.literal(`"event_type":"text-generation","is_finished":false`)
		b.member("text", text)
	}
	s.last = func(b *buffer, _ completion, a batholith.Answer) {
		b.literal(`"event_type":"stream-end","is_finished":true`)
		b.member("finish_reason", value(a.Output).member("finish_reason"))
		b.key("response")
		b.raw(a.Output)
	}
	return s, nil
}

// begin implements streamWriter.
func (s *cohereStream) begin(h *hub) {
	var b buffer
	b.literal(`{"event_type":"stream-start","is_finished":false`)
	b.textMember("generation_id", h.name("generation_"))
	b.close('}')
	h.emit(chunkEvent, b)
}

// end implements streamWriter.
func (s *cohereStream) end(h *hub, c completion, a batholith.Answer, t StreamTimes) {
	if calls := value(a.Output).member("tool_calls"); !calls.absent() {
		var b buffer
		b.literal(`{"event_type":"tool-calls-generation","is_finished":false,"text":""`)
		b.member("tool_calls", calls)
		b.close('}')
		h.emit(chunkEvent, b)
	}
	s.textStream.end(h, c, a, t)
}
