package dialect

import (
	"time"

	"github.com/batholith/batholith"
)

// Streamer is a [Dialect] whose answers can be streamed. All dialects of chat families and
// Converse are; for the others, and for bodies of embeddings, StreamRequest returns an error.
type Streamer interface {
	Dialect

	// StreamRequest is Request for an answer that comes as a stream, with the token counts at its
	// end.
	StreamRequest(input []byte, model string) (batholith.Call, error)

	// NewStream returns the translator of one answer's stream. input must be one that
	// StreamRequest has accepted, and call the result.
	NewStream(input []byte, call batholith.Call) Stream
}

// Stream translates the stream of one answer. It is used by one goroutine.
//
// The joined events of a stream say the same as [Dialect.Answer] of the whole answer: text,
// thoughts, tool calls, stop reason and token counts. End holds that, because it joins the
// server's chunks to a whole answer and has it read by the same code.
type Stream interface {
	// Event translates one event of the server: the data of an SSE event, or a line of NDJSON.
	// Errors are those of Answer. After an error the stream is over, and End must not be called.
	Event(data []byte) ([]Event, error)

	// Done reports whether the server has said that its stream is over.
	Done() bool

	// End returns the last events and the whole answer, as Answer returns it. The error is not
	// nil if the stream was cut off, or if Answer would refuse the whole answer. Then the client
	// must be told that the answer is not complete.
	End(t StreamTimes) ([]Event, batholith.Answer, error)
}

// Event is one event for the client.
type Event struct {
	// Type is the event's name: for Converse the type of the event-stream message, for
	// Anthropic Messages the event's type, for all others "chunk".
	Type string
	// Payload is one JSON object on a single line: for Converse the message's payload, for the
	// families of InvokeModel the content of a chunk.
	Payload []byte
}

// StreamTimes are the durations of one stream, from the time when the request was sent.
type StreamTimes struct {
	First time.Duration // to the first event of the server
	Took  time.Duration // to its last one
	// Plain leaves out what Bedrock adds to the last chunk of InvokeModel, the member
	// "amazon-bedrock-invocationMetrics".
	Plain bool
}

// chunkEvent is the type of InvokeModel's events.
const chunkEvent = "chunk"

// streaming is implemented by translators whose answers can be streamed.
type streaming interface {
	// writer returns what writes the events of one answer. input is the record's body.
	writer(input value) (streamWriter, error)
}

// streamWriter writes a family's events. The hub calls begin first, end last, and the others in
// the order in which the answer comes. It emits events with hub.emit. piece is a JSON string,
// never empty. choice is 0 for all families but those with OpenAI's bodies.
type streamWriter interface {
	begin(h *hub)
	text(h *hub, choice int, piece value)
	thought(h *hub, choice int, piece value)
	// call begins the n-th tool call of the choice, which has an id and a name.
	call(h *hub, choice, n int, id string, name value)
	// arguments adds a part of its arguments, a JSON text in a JSON string. The parts of one call
	// are never interrupted by another call.
	arguments(h *hub, choice, n int, piece value)
	// end writes what is left: the stop reason, the token counts. c is the first choice.
	end(h *hub, c completion, a batholith.Answer, t StreamTimes)
}

// verbatim is implemented by writers that pass on the arguments of a tool call as the model wrote
// them, even if they are not a JSON object.
type verbatim interface{ verbatim() }

// prompted is implemented by writers of families whose requests are prompts, which go to
// /completions.
type prompted interface{ prompted() }

// StreamRequest implements [Streamer].
func (c reading) StreamRequest(input []byte, model string) (batholith.Call, error) {
	body, err := c.body(input)
	if err != nil {
		return batholith.Call{}, refuse(err)
	}
	body = withoutStream(body)
	form, err := formOf(c.t, body)
	if err == nil {
		err = streamable(form, body)
	}
	if err != nil {
		return batholith.Call{}, refuse(err)
	}
	call, err := form.request(body, model)
	if err != nil {
		return batholith.Call{}, refuse(err)
	}
	return asStream(form, call), nil
}

// NewStream implements [Streamer].
func (c reading) NewStream(input []byte, call batholith.Call) Stream {
	body := known(input)
	form, _ := formOf(c.t, body) // StreamRequest has checked it
	if n, ok := form.(nativeStreams); ok {
		return n.native(c, body, call)
	}
	return newHub(form, body, call)
}

// writerOf returns the writer of a format's translator.
func writerOf(t translator, body value) (streamWriter, error) {
	if s, ok := t.(streaming); ok {
		return s.writer(body)
	}
	return nil, wrong("this model's answers cannot be streamed; use InvokeModel")
}

// Streams reports whether answers of d can be streamed: those of some of its bodies, for a family with several.
func Streams(d Dialect) bool {
	r, ok := d.(reading)
	if !ok {
		_, ok = d.(Streamer)
		return ok
	}
	switch t := r.t.(type) {
	case nativeInvoke:
		return Streams(reading{t: t.t})
	case byShape, alwaysChat, nativeStreams:
		return true
	case crossing:
		_, ok = t.t.(streaming)
	default:
		_, ok = t.(streaming)
	}
	return ok
}

// withoutStream leaves out the members with which clients of OpenAI's API ask for a stream,
// because the operation does so already.
func withoutStream(body value) value {
	if body.member("stream").absent() && body.member("stream_options").absent() {
		return body
	}
	return value(Cut(body, "stream", "stream_options"))
}

// streamedCall asks the server for a stream with the token counts in its last chunk (OpenAI:
// stream_options). Some servers refuse the option; then the tokens are not known.
func streamedCall(call batholith.Call) batholith.Call {
	call = withMembers(call, `"stream":true,"stream_options":{"include_usage":true}`)
	call.Spare |= spareUsage
	return call
}
