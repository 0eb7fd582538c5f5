package dialect

import (
	"bytes"
	"hash/fnv"
	"net/http"
	"strconv"

	"github.com/batholith/batholith"
)

// hub reads the chunks of an OpenAI-compatible stream, passes their content to the family's
// writer, and joins them to a whole answer.
type hub struct {
	t        translator // of the body's format to OpenAI's protocol
	w        streamWriter
	decode   func(data []byte) (chunks [][]byte, done bool, err error) // of the server's protocol; nil: OpenAI's
	verbatim bool                                                      // the writer passes on arguments as they are
	prompted bool                                                      // the answer is a completion of a prompt, not a message
	input    value
	call     batholith.Call

	id, model value // of the first chunk that has them
	head      []param
	choices   []*choiceSoFar // by index
	usage     value
	done      bool
	begun     bool
	size      int // bytes of head and choices
	events    []Event
}

// maxStreamed bounds what a stream may say, in bytes, since it is kept until the end.
const maxStreamed = 64 << 20

// maxChoices and maxCalls bound the indexes that a server may use.
const (
	maxChoices = 128
	maxCalls   = 1024
)

// choiceSoFar is what the chunks of one choice have said.
type choiceSoFar struct {
	text, thought, refusal pieces
	logprobs               [2]pieces // content and refusal, the elements of two lists
	probed                 int       // bytes of logprobs[0] that were passed on
	calls                  []*callSoFar
	open                   int // index in calls of the call whose arguments are being passed on
	told                   int // calls of which the writer knows
	more                   []param
	finish                 value
}

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

// pieces joins the contents of JSON strings. said tells an empty string from none.
type pieces struct {
	b    []byte
	said bool
}

// add appends a JSON string and returns its length.
func (p *pieces) add(v value) int {
	p.said = true
	p.b = append(p.b, v[1:len(v)-1]...)
	return len(v) - len(`""`)
}

// value returns the joined string, or nil if there was none.
func (p *pieces) value() value {
	if !p.said {
		return nil
	}
	return quotes(p.b)
}

// quotes puts a JSON string's content between quotes.
func quotes(content []byte) value {
	v := make(value, 0, len(content)+2)
	return append(append(append(v, '"'), content...), '"')
}

// streamEnd is the data of the last event of an OpenAI-compatible stream.
const streamEnd = "[DONE]"

// Done implements [Stream].
func (h *hub) Done() bool { return h.done }

// Event implements [Stream].
func (h *hub) Event(data []byte) ([]Event, error) {
	h.events = nil
	if data = trim(data); len(data) == 0 {
		return nil, nil
	}
	chunks := [][]byte{data}
	switch {
	case string(data) == streamEnd:
		h.done = true
		return nil, nil
	case h.decode != nil:
		var err error
		if chunks, h.done, err = h.decode(data); err != nil {
			return nil, refuse(err)
		}
	}
	for _, c := range chunks {
		if err := h.chunk(c); err != nil {
			return nil, refuse(err)
		}
	}
	if h.size > maxStreamed {
		return nil, nonsense("it is longer than %d MiB", maxStreamed>>20)
	}
	return h.events, nil
}

// chunk reads one chunk. A server that does not stream sends the whole answer as one chunk.
func (h *hub) chunk(data []byte) error {
	doc, err := answerObject(bytes.Clone(data)) // the reader of the stream may use its buffer again
	if err != nil {
		return err
	}
	for name, v := range doc.present() {
		switch name {
		case "id":
			h.id = firstOf(h.id, v)
		case "model":
			h.model = firstOf(h.model, v)
		case "usage":
			if v.kind() == '{' {
				h.usage = v
			}
		case "choices":
			for i, choice := range v.elements() {
				if err := h.choice(i, choice); err != nil {
					return err
				}
			}
		case "error", "object":
		default:
			h.size += keep(&h.head, name, v)
		}
	}
	return nil
}

// firstOf returns the first of two values that says something.
func firstOf(a, b value) value {
	if !a.absent() && a.says() {
		return a
	}
	return b
}

// keep sets the last value of a member, and returns how many bytes it added.
func keep(list *[]param, name string, v value) int {
	for i := range *list {
		if p := &(*list)[i]; p.name == name {
			grown := len(v) - len(p.raw)
			p.raw = v
			return grown
		}
	}
	*list = append(*list, param{name, v})
	return len(name) + len(v)
}

// params writes members.
func (b *buffer) params(list []param) {
	for _, p := range list {
		b.anyKey(p.name)
		b.raw(p.raw)
	}
}

// emit adds an event.
func (h *hub) emit(typ string, payload buffer) {
	h.events = append(h.events, Event{typ, payload})
}

// begin tells the writer that the answer begins, with its first content.
func (h *hub) begin() {
	if !h.begun {
		h.begun = true
		h.w.begin(h)
	}
}

// name returns the id of the answer with the family's prefix. It is known from the first chunk.
// Without an id of the server it is a hash of the request, so that the same record always gets
// the same one.
func (h *hub) name(prefix string) string {
	return prefix + h.ownID().text()
}

// ownID returns the server's id, or one that is made.
func (h *hub) ownID() value {
	if h.id.text() == "" {
		s := fnv.New64a()
		s.Write(h.call.Body)
		h.id = value(strconv.Quote(strconv.FormatUint(s.Sum64(), 36)))
	}
	return h.id
}

// choice reads one choice of a chunk. Its content is in "delta", of a completion in "text", and
// of a whole answer in "message".
func (h *hub) choice(at int, choice value) error {
	var c completion
	if err := c.chosen(choice); err != nil {
		return err
	}
	if n, ok := choice.member("index").integer(); ok {
		at = int(min(max(n, 0), maxChoices))
	}
	if at >= maxChoices {
		return nonsense("it has more than %d choices", maxChoices)
	}
	for len(h.choices) <= at {
		h.choices = append(h.choices, &choiceSoFar{})
	}
	so := h.choices[at]
	h.size += so.addLogprobs(choice.member("logprobs")) // the writer passes them on beside the content
	for name, v := range choice.present() {
		switch name {
		case "index", "error", "finish_reason", "logprobs":
		case "delta", "message":
			if h.prompted {
				continue
			}
			if err := h.delta(so, at, v); err != nil {
				return err
			}
		case "text":
			if !h.prompted {
				continue
			}
			if v.kind() != '"' {
				return nonsense("the text of its choice is not text")
			}
			h.text(so, at, v)
		default:
			h.size += keep(&so.more, name, v)
		}
	}
	// A last chunk often repeats the member as null.
	if finish := choice.member("finish_reason"); !finish.absent() && finish.says() {
		so.finish = finish
	}
	return nil
}

// addLogprobs joins lists of probabilities, and returns how many bytes were added.
func (so *choiceSoFar) addLogprobs(v value) (n int) {
	for i, name := range [...]string{"content", "refusal"} {
		for _, e := range v.member(name).elements() {
			p := &so.logprobs[i]
			if p.said {
				p.b = append(p.b, ',')
			}
			p.said = true
			p.b = append(p.b, e...)
			n += len(e) + 1
		}
	}
	return n
}

// delta reads new content of a message, in the forms in which whole messages come.
func (h *hub) delta(so *choiceSoFar, at int, delta value) error {
	var c completion
	calls, call, err := c.spoken(delta)
	if err != nil {
		return err
	}
	if refusal := delta.member("refusal"); !c.refusal.absent() {
		h.size += so.refusal.add(c.refusal)
	} else if refusal.kind() == '"' { // an empty one is passed on, too
		so.refusal.said = true
	}
	if t := c.reasoning; !t.absent() {
		h.size += so.thought.add(t)
		if len(t) > len(`""`) {
			h.begin()
			h.w.thought(h, at, t)
		}
	}
	if !c.text.absent() {
		h.text(so, at, c.text)
	}
	for _, called := range c.calls { // a part of the content that is a whole call
		h.whole(so, called)
	}
	for i, e := range calls.elements() {
		if err := h.called(so, e, e.member("function"), i); err != nil {
			return err
		}
	}
	if call.kind() == '{' && calls.len() == 0 {
		if err := h.called(so, nil, call, 0); err != nil {
			return err
		}
	}
	h.pass(so, at, false)
	return nil
}

// text passes text on.
func (h *hub) text(so *choiceSoFar, at int, v value) {
	h.size += so.text.add(v)
	if len(v) > len(`""`) {
		h.begin()
		h.w.text(h, at, v)
	}
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

// End implements [Stream].
func (h *hub) End(t StreamTimes) ([]Event, batholith.Answer, error) {
	h.events = nil
	if err := h.whether(); err != nil {
		return nil, batholith.Answer{}, err
	}
	h.call.Took = t.Took
	body := h.joined()
	a, err := h.t.answer(h.input, h.call, body)
	if err == nil {
		err = checkCut(h.call, a.Tokens.Input, body)
	}
	if err != nil {
		return nil, batholith.Answer{}, refuse(err)
	}
	c := h.completion(body)
	for i, so := range h.choices {
		h.pass(so, i, true)
	}
	h.begin()
	// Text that comes from another place, such as a refusal, is known only now.
	if first := h.choices[0]; len(first.text.b) == 0 && len(c.text) > len(`""`) {
		h.w.text(h, 0, c.text)
	}
	h.w.end(h, c, a, t)
	return h.events, a, nil
}

// whether returns an error if the stream was cut off. A server that ends its stream without the
// last event, but gave a finish_reason, has said everything.
func (h *hub) whether() error {
	if len(h.choices) == 0 {
		return nonsense("its stream has no choices")
	}
	for _, so := range h.choices {
		if so.finish.absent() && !h.done {
			return brokenStream()
		}
	}
	return nil
}

// brokenStream is the failure of an attempt whose stream ended before the answer.
func brokenStream() error {
	return &batholith.Failure{Kind: batholith.FailureRetry, Status: http.StatusOK, Sent: true, Crash: true,
		Message: "the model server's stream broke off before the end of the answer", Public: "its streams break off before their end"}
}

// completion reads the whole answer again, for the writer. An error about the model's tool call
// can only come for the families that pass it on.
func (h *hub) completion(body []byte) completion {
	if h.prompted {
		c, _ := parseText(body)
		return c
	}
	c, _ := parseChat(body)
	return c
}

// joined returns the chunks as one whole answer in OpenAI's form.
func (h *hub) joined() []byte {
	b := make(buffer, 0, h.size+512)
	b.open('{')
	b.member("id", h.ownID())
	b.textMember("object", map[bool]string{true: "text_completion", false: "chat.completion"}[h.prompted])
	b.member("model", h.model)
	b.params(h.head)
	b.key("choices")
	b.open('[')
	for i, so := range h.choices {
		b.open('{')
		b.integerMember("index", int64(i))
		if h.prompted {
			b.member("text", so.text.value())
		} else {
			b.key("message")
			so.message(&b)
		}
		so.joinedLogprobs(&b)
		b.member("finish_reason", so.finish)
		b.params(so.more)
		b.close('}')
	}
	b.close(']')
	b.member("usage", h.usage)
	b.close('}')
	return b
}

// message writes the joined message of a choice.
func (so *choiceSoFar) message(b *buffer) {
	b.open('{')
	b.textMember("role", "assistant")
	b.member("content", so.text.value())
	b.member("reasoning_content", so.thought.value())
	b.member("refusal", so.refusal.value())
	if len(so.calls) > 0 {
		b.key("tool_calls")
		b.open('[')
		for _, call := range so.calls {
			b.open('{')
			b.member("id", call.id)
			b.textMember("type", "function")
			b.key("function")
			b.open('{')
			b.member("name", call.name)
			if call.object.absent() {
				b.member("arguments", call.args.value())
			} else {
				b.member("arguments", call.object)
			}
			b.close('}')
			b.close('}')
		}
		b.close(']')
	}
	b.close('}')
}

// joinedLogprobs writes the joined probabilities of a choice.
func (so *choiceSoFar) joinedLogprobs(b *buffer) {
	if !so.logprobs[0].said && !so.logprobs[1].said {
		return
	}
	b.key("logprobs")
	b.open('{')
	for i, name := range [...]string{"content", "refusal"} {
		if so.logprobs[i].said {
			b.key(name)
			b.open('[')
			b.raw(so.logprobs[i].b)
			b.close(']')
		}
	}
	b.close('}')
}
