package dialect

import "bytes"

// callSoFar is what the chunks have said of one tool call.
type callSoFar struct {
	index    int64 // as the server counts
	id, name value
	args     pieces
	object   value // arguments that came as an object
	number   int   // among the calls of which the writer knows, from 0
	told     bool  // the writer knows of it
	passed   int   // bytes of args that were passed on
	running  bool  // its arguments are passed on as they come
}

// whole adds a tool call that came in one piece.
func (h *hub) whole(so *choiceSoFar, called toolCall) {
	h.size += len(called.name) + len(called.arguments)
	so.calls = append(so.calls, &callSoFar{index: int64(len(so.calls)), id: called.id, name: called.name, object: called.arguments})
}

// called adds a part of a tool call: a new one, or more of the arguments of one.
func (h *hub) called(so *choiceSoFar, e, f value, i int) error {
	id, name := e.member("id"), f.member("name")
	call := so.find(e.member("index"), id, name, i)
	if call == nil {
		if len(so.calls) >= maxCalls {
			return nonsense("it has more than %d tool calls", maxCalls)
		}
		index, ok := e.member("index").integer()
		if !ok {
			index = int64(len(so.calls))
		}
		call = &callSoFar{index: index}
		so.calls = append(so.calls, call)
	}
	if call.id.text() == "" {
		call.id = id
	}
	if call.name.text() == "" && name.kind() == '"' {
		call.name = name
	}
	args := f.member("arguments")
	if args.absent() {
		args = f.member("input")
	}
	switch args.kind() {
	case '"':
		h.size += call.args.add(args)
	case 'n':
	default:
		h.size += len(args)
		call.object = args
	}
	return nil
}

// find returns the call that a part belongs to, or nil for a new one. OpenAI numbers the calls.
// Some servers send each call whole, all with the number 0 or without one; their ids differ.
func (so *choiceSoFar) find(index, id, name value, i int) *callSoFar {
	n, numbered := index.integer()
	for k := len(so.calls) - 1; k >= 0; k-- {
		call := so.calls[k]
		switch {
		case numbered && call.index != n:
			continue
		case id.text() != "" && call.id.text() != "" && id.text() != call.id.text():
			if numbered && name.text() == "" { // the id changes from chunk to chunk
				return call
			}
			if numbered {
				return nil
			}
			continue
		case !numbered && id.text() == "" && name.text() != "" && call.name.text() != "":
			return nil
		case !numbered && id.text() == "" && i > 0 && k < i:
			return nil
		}
		return call
	}
	return nil
}

// pass passes on what is new of the tool calls, one call after the other. The next call begins
// when the arguments of the one before are complete, or at the end of the stream.
func (h *hub) pass(so *choiceSoFar, at int, ended bool) {
	for so.open < len(so.calls) {
		call := so.calls[so.open]
		last := so.open == len(so.calls)-1
		if call.name.text() == "" {
			if !ended && last {
				return
			}
			so.open++ // what it says is checked at the end
			continue
		}
		if !call.told {
			call.told, call.number = true, so.told
			so.told++
			h.begin()
			h.w.call(h, at, call.number, call.id.text(), call.name)
		}
		h.passArguments(call, at)
		if !ended && (last || !call.complete()) {
			return
		}
		h.passRest(call, at)
		so.open++
	}
}

// passArguments passes on arguments as they come, from the brace that begins the object. Other
// texts are passed on whole: see passRest.
func (h *hub) passArguments(call *callSoFar, at int) {
	if !call.running {
		start := escapedSpace(call.args.b)
		switch rest := call.args.b[start:]; {
		case len(rest) == 0:
			return
		case h.verbatim && !bytes.HasPrefix([]byte("null"), rest), rest[0] == '{':
			call.running = true
			if !h.verbatim {
				call.passed = start
			}
		default:
			return
		}
	}
	if piece := call.args.b[call.passed:]; len(piece) > 0 {
		call.passed = len(call.args.b)
		h.w.arguments(h, at, call.number, quotes(piece))
	}
}

// passRest passes on arguments that do not begin with a brace: an object, a text that holds the
// text of an object, or none.
func (h *hub) passRest(call *callSoFar, at int) {
	if call.running {
		return
	}
	call.running = true
	v := call.object
	if v.absent() {
		v = call.args.value()
	}
	args, err := arguments(v, false)
	switch {
	case err != nil && h.verbatim && v.kind() == '"':
		h.w.arguments(h, at, call.number, v)
		return
	case err != nil:
		return // the end of the stream reports it
	}
	var b buffer
	b.quoted(args)
	h.w.arguments(h, at, call.number, value(b))
}

// complete reports whether the arguments are a whole JSON value.
func (call *callSoFar) complete() bool {
	if !call.object.absent() {
		return true
	}
	text := quotes(call.args.b).text()
	_, err := parse([]byte(text))
	return err == nil
}

// escapedSpace returns the length of the white space at the beginning of a JSON string's content.
func escapedSpace(b []byte) (n int) {
	for n < len(b) {
		switch {
		case b[n] == ' ':
			n++
		case b[n] == '\\' && n+1 < len(b) && (b[n+1] == 'n' || b[n+1] == 't' || b[n+1] == 'r'):
			n += 2
		default:
			return n
		}
	}
	return n
}
