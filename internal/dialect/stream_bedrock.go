package dialect

import (
	"encoding/base64"
	"strings"

	"github.com/batholith/batholith"
)

// bedrockStream passes the events of Bedrock's runtime on. Package upstream gives each message of
// the event stream as an object with one member, which has the name of the event's type:
//
//	{"contentBlockDelta":{"contentBlockIndex":0,"delta":{"text":"Hi"}}}
//	{"chunk":{"bytes":"eyJ…"}}
type bedrockStream struct {
	call     batholith.Call
	converse bool
	as       string // see nativeInvoke
	stopped  bool   // messageStop has come
	done     bool   // the last event has come: metadata, or the chunk with the metrics
	tokens   batholith.Tokens
}

// streamed implements nativeStreams.
func (nativeConverse) streamed(call batholith.Call) batholith.Call {
	call.Path = strings.TrimSuffix(call.Path, "/converse") + "/converse-stream"
	return call
}

// native implements nativeStreams.
func (nativeConverse) native(_ reading, _ value, call batholith.Call) Stream {
	return &bedrockStream{call: call, converse: true}
}

// streamed implements nativeStreams.
func (nativeInvoke) streamed(call batholith.Call) batholith.Call {
	call.Path = strings.TrimSuffix(call.Path, "/invoke") + "/invoke-with-response-stream"
	return call
}

// native implements nativeStreams.
func (d nativeInvoke) native(_ reading, _ value, call batholith.Call) Stream {
	return &bedrockStream{call: call, as: d.as}
}

// Done implements [Stream].
func (s *bedrockStream) Done() bool { return s.done }

// Event implements [Stream].
func (s *bedrockStream) Event(data []byte) ([]Event, error) {
	doc, err := answerObject(data)
	if err != nil {
		return nil, err
	}
	var events []Event
	for typ, payload := range doc.members() {
		e, err := s.event(typ, payload)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

// event passes one event on, and looks for the end and the token counts.
func (s *bedrockStream) event(typ string, payload value) (Event, error) {
	if s.converse {
		switch typ {
		case "messageStop":
			s.stopped = true
		case "metadata":
			s.done, s.tokens = s.stopped, bedrockTokens(payload)
		}
		return Event{typ, append(buffer(nil), payload...)}, nil
	}
	text, err := base64.StdEncoding.DecodeString(payload.member("bytes").text())
	if typ != "chunk" || err != nil {
		return Event{}, nonsense("its stream has no chunk in an event of the type %q", shortened(typ, 40))
	}
	chunk, err := answerObject(text)
	if err != nil {
		return Event{}, err
	}
	if metrics := chunk.member(MetricsMember); metrics.kind() == '{' {
		s.done, s.tokens = true, camelTokens(metrics)
	}
	chunk = renamed(chunk, s.as)
	if own := chunk.member("type").text(); own != "" && strings.Contains(own, "_") { // Claude's events have names
		return Event{own, buffer(chunk)}, nil
	}
	return Event{chunkEvent, buffer(chunk)}, nil
}

// End implements [Stream]. The service has checked the answer; only its end is looked for.
func (s *bedrockStream) End(StreamTimes) ([]Event, batholith.Answer, error) {
	if !s.done {
		return nil, batholith.Answer{}, brokenStream()
	}
	return nil, batholith.Answer{Tokens: s.tokens, Model: calledModel(s.call)}, nil
}
