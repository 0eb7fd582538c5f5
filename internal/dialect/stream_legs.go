package dialect

import "github.com/batholith/batholith"

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
