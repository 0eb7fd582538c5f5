package dialect

import (
	"strconv"

	"github.com/batholith/batholith"
)

// anthropicStream writes the events of Anthropic Messages (Anthropic: streaming):
//
//	{"type":"message_start","message":{"id":"msg_…","role":"assistant","content":[],"usage":{…},…}}
//	{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}
//	{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}
//	{"type":"content_block_stop","index":0}
//	{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{…}}
//	{"type":"message_stop","amazon-bedrock-invocationMetrics":{…}}
//
// Servers count the prompt's tokens at the end of a stream, so message_start has zeros, and
// message_delta has all counts. They are cumulative, so clients take the later ones.
type anthropicStream struct {
	anthropic
	input value
	blocks
}

// writer implements streaming.
func (d anthropic) writer(input value) (streamWriter, error) {
	return &anthropicStream{d, input, newBlocks()}, nil
}

// begin implements streamWriter.
func (s *anthropicStream) begin(h *hub) {
	var b buffer
	b.open('{')
	b.textMember("type", "message_start")
	b.key("message")
	b.open('{')
	b.textMember("id", h.name("msg_"))
	b.literal(`"type":"message","role":"assistant"`)
	b.textMember("model", claudeName(s.shown(h.model.text())))
	b.literal(`"content":[],"stop_reason":null,"stop_sequence":null,` +
		`"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}`)
	b.close('}')
	b.close('}')
	h.emit("message_start", b)
}

// text implements streamWriter.
func (s *anthropicStream) text(h *hub, _ int, piece value) {
	s.block(h, blockText, `{"type":"text","text":""}`)
	s.delta(h, "text_delta", "text", piece)
}

// thought implements streamWriter.
func (s *anthropicStream) thought(h *hub, _ int, piece value) {
	s.block(h, blockThought, `{"type":"thinking","thinking":"","signature":""}`)
	s.delta(h, "thinking_delta", "thinking", piece)
}

// call implements streamWriter.
func (s *anthropicStream) call(h *hub, _, n int, id string, name value) {
	var b buffer
	b.open('{')
	b.textMember("type", "tool_use")
	b.textMember("id", madeID(h, "toolu_", id, n))
	b.member("name", name)
	b.literal(`"input":{}`)
	b.close('}')
	s.block(h, blockTool, string(b))
}

// madeID returns the id of the n-th tool call, as completion.callName makes it.
func madeID(h *hub, prefix, id string, n int) string {
	if id != "" {
		return id
	}
	return h.name(prefix) + "_" + strconv.Itoa(n)
}

// arguments implements streamWriter.
func (s *anthropicStream) arguments(h *hub, _, _ int, piece value) {
	s.delta(h, "input_json_delta", "partial_json", piece)
}

// block begins a block, unless one of its kind is open. start is its empty content.
func (s *anthropicStream) block(h *hub, kind block, start string) {
	before := s.index
	ended, began := s.turn(kind)
	if ended {
		var b buffer
		b.literal(`{"type":"content_block_stop"`)
		b.integerMember("index", before)
		b.close('}')
		h.emit("content_block_stop", b)
	}
	if began {
		var b buffer
		b.literal(`{"type":"content_block_start"`)
		b.integerMember("index", s.index)
		b.key("content_block")
		b.literal(start)
		b.close('}')
		h.emit("content_block_start", b)
	}
}

// delta writes a piece of the open block.
func (s *anthropicStream) delta(h *hub, typ, member string, piece value) {
	b := make(buffer, 0, len(piece)+96)
	b.literal(`{"type":"content_block_delta"`)
	b.integerMember("index", s.index)
	b.key("delta")
	b.open('{')
	b.textMember("type", typ)
	b.member(member, piece)
	b.close('}')
	b.close('}')
	h.emit("content_block_delta", b)
}

// end implements streamWriter.
func (s *anthropicStream) end(h *hub, c completion, a batholith.Answer, t StreamTimes) {
	if s.empty(c) {
		s.block(h, blockText, `{"type":"text","text":""}`)
	}
	s.block(h, blockNone, "")
	var b buffer
	b.literal(`{"type":"message_delta","delta":{`)
	s.stopReason(&b, s.input, c)
	b.close('}')
	b.member("usage", value(a.Output).member("usage"))
	b.close('}')
	h.emit("message_delta", b)
	b = nil
	b.open('{')
	b.textMember("type", "message_stop")
	b.metrics(a, t)
	b.close('}')
	h.emit("message_stop", b)
}
