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
