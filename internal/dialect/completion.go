package dialect

import (
	"hash/fnv"
	"strconv"

	"github.com/batholith/batholith"
)

// completion holds the parts of an OpenAI-compatible server's answer: the first choice and the
// usage.
type completion struct {
	id, model       value
	created         value // time of the answer in seconds since 1970
	text, reasoning value // JSON strings; absent if the server sent none
	refusal         value // text of a refusal, likewise
	calls           []toolCall
	finish          string // stop, length, tool_calls, content_filter; "": not known yet
	told            string // finish before ends adapted it to the content
	stop            value  // stop sequence that was met, if the server reports it
	choice, message value
	tokens          batholith.Tokens
}

// parseChat parses an answer of /chat/completions.
func parseChat(body []byte) (completion, error) {
	c, err := parseCompletion(body)
	if err != nil {
		return c, err
	}
	return c, c.chat()
}

// chat reads the message of the choice.
func (c *completion) chat() error {
	message := c.message
	if message.kind() != '{' {
		return nonsense("its first choice has no message")
	}
	calls, call, err := c.spoken(message)
	if err != nil {
		return err
	}
	for _, e := range calls.elements() {
		if err := c.called(e.member("id"), e.member("function")); err != nil {
			return err
		}
	}
	// Some servers send both forms of the same call.
	if call.kind() == '{' && len(c.calls) == 0 {
		if err := c.called(nil, call); err != nil {
			return err
		}
	}
	return c.ends()
}

// spoken reads the text, the thoughts and the refusal of a message, or of a part of one. It returns
// tool_calls and function_call.
func (c *completion) spoken(message value) (calls, call value, err error) {
	var thought value // the thought in a member of its own, outside the content
	for name, v := range message.present() {
		switch name {
		case "content":
			if err := c.content(v); err != nil {
				return nil, nil, err
			}
		case "reasoning_content", "reasoning", "thinking":
			if v.kind() == '"' && len(v) > len(`""`) {
				thought = v
			}
		case "refusal":
			if v.kind() == '"' && len(v) > len(`""`) {
				c.refusal = v
			}
		case "tool_calls":
			calls = v
		case "function_call": // OpenAI's old form, with a single call
			call = v
		}
	}
	c.reasoning = joined(thought, c.reasoning)
	return calls, call, nil
}

// ends adapts the finish reason to the content. It returns an error if the answer is incomplete
// or empty.
func (c *completion) ends() error {
	if !c.refusal.absent() {
		c.finish = endFilter
		if len(c.text) <= len(`""`) {
			c.text = c.refusal
		}
	}
	// An answer that only thought, or only called a tool, is not empty.
	said := !c.text.absent() || !c.reasoning.absent() || len(c.calls) > 0
	switch {
	case c.finish == "" && len(c.text) <= len(`""`) && c.reasoning.absent() && len(c.calls) == 0, c.finish == endStop && !said, c.finish == endTools && !said:
		return nothingSaid()
	case len(c.calls) > 0 && (c.finish == endStop || c.finish == ""): // some servers answer so if one tool was forced
		c.finish = endTools
	case c.finish == "", c.finish == endTools && len(c.calls) == 0: // the server took a tool call for text
		c.finish = endStop
	}
	return nil
}

// parseText parses an answer of /completions.
func parseText(body []byte) (completion, error) {
	c, err := parseCompletion(body)
	if err != nil {
		return c, err
	}
	switch c.text = c.choice.member("text"); {
	case c.text.kind() == '"' && (c.finish != "" || len(c.text) > len(`""`)):
	case c.text.absent() && (c.finish == endLength || c.finish == endFilter):
		c.text = value(`""`)
	case c.text.absent() || c.text.kind() == '"':
		return c, nothingSaid()
	default:
		return c, nonsense("its first choice has no text")
	}
	if c.finish == "" {
		c.finish = endStop
	}
	return c, nil
}

// parseCompletion reads the members that both kinds of answers have.
func parseCompletion(body []byte) (c completion, err error) {
	doc, err := answerObject(body)
	if err != nil {
		return c, err
	}
	for name, v := range doc.members() {
		switch name {
		case "id":
			c.id = v
		case "model":
			c.model = v
		case "created":
			c.created = v
		case "choices":
			for i, choice := range v.elements() {
				if i == 0 {
					c.choice = choice
				}
			}
		case "usage":
			c.tokens = usage(v)
		}
	}
	return c, c.chosen(c.choice)
}

// chosen reads the members of a choice other than its content.
func (c *completion) chosen(choice value) error {
	c.choice = choice
	if choice.kind() != '{' {
		return nonsense("it has no choices")
	}
	var finish, failed value
	for name, v := range choice.present() {
		switch name {
		case "message":
			c.message = v
		case "finish_reason":
			finish = v
		case "error":
			failed = v
		case "stop_reason", "matched_stop": // vLLM, SGLang: the sequence, or the number of a token
			if v.kind() == '"' {
				c.stop = v
			}
		}
	}
	// Routers report a failure of the server behind them within a choice.
	if isError(failed) {
		return errorWithin(failed)
	}
	// Unknown words count as broken, so that half an answer never becomes a result.
	end, broken := endOf(finish)
	if c.finish, c.told = end, end; broken {
		return brokenOff(finish)
	}
	return nil
}

// answerObject parses an answer, which must be an object without an error.
func answerObject(body []byte) (value, error) {
	doc, err := parseAnswer(body)
	if err != nil {
		return nil, nonsense("it is %v", err)
	}
	if doc.kind() != '{' {
		return nil, nonsense("it is not an object")
	}
	if e := doc.member("error"); isError(e) {
		return nil, errorWithin(e)
	}
	return doc, nil
}

// isError reports whether the value of an answer's member "error" is an error. Some servers
// send an empty one with every answer.
func isError(e value) bool {
	switch e.kind() {
	case '"':
		return len(e) > len(`""`)
	case '{':
		for _, m := range e.fields() {
			if !m.absent() && m.says() && string(m) != "0" {
				return true
			}
		}
		return false
	}
	return e.kind() == 't' || e.filled()
}

// errorText returns the message of an OpenAI error, shortened.
func errorText(e value) string {
	s := e.text()
	if m := e.member("message"); m.kind() == '"' {
		s = m.text()
	}
	return shortened(s, 300)
}

// content reads the content of a message: normally a string; some servers send a list of
// strings and typed parts.
func (c *completion) content(v value) error {
	c.text = nil // a duplicate member: the last one counts
	switch v.kind() {
	case 'n':
	case '"':
		c.text = v
	case '{':
		return c.part(v)
	case '[':
		for _, p := range v.elements() {
			if p.kind() == '"' {
				c.text = joined(c.text, p)
			} else if err := c.part(p); err != nil {
				return err
			}
		}
		if v.len() > 0 && c.text.absent() && c.reasoning.absent() && c.refusal.absent() && len(c.calls) == 0 {
			return nonsense("the content of its message is not text")
		}
	default:
		return nonsense("the content of its message is not text")
	}
	return nil
}

// part reads a part of a message: text, a thought (Mistral, Anthropic), a refusal (OpenAI), or
// a tool call (Anthropic). Other parts, such as references, have no text and are dropped.
func (c *completion) part(p value) error {
	switch p.member("type").text() {
	case "thinking", "reasoning", "reasoning_text", "thought", "reasoning_content":
		for _, name := range [...]string{"thinking", "reasoning", "text", "content"} {
			if thought := textOf(p.member(name)); !thought.absent() {
				c.reasoning = joined(c.reasoning, thought)
				break
			}
		}
	case "redacted_thinking":
	case "refusal":
		c.refusal = joined(c.refusal, textOf(p.member("refusal")))
	case "tool_use", "tool_call", "function_call", "function":
		f := p.member("function")
		if f.kind() != '{' {
			f = p
		}
		return c.called(p.member("id"), f)
	default:
		if text := p.member("text"); text.kind() == '"' {
			c.text = joined(c.text, text)
		}
	}
	return nil
}

// textOf returns a string, or the joined text of a list of parts; nil for other values.
func textOf(v value) (text value) {
	if v.kind() == '"' {
		return v
	}
	for _, p := range v.elements() {
		if t := p.member("text"); t.kind() == '"' {
			p = t
		}
		if p.kind() == '"' {
			text = joined(text, p)
		}
	}
	return text
}

// joined concatenates two JSON strings; either may be absent.
func joined(a, b value) value {
	switch {
	case b.absent():
		return a
	case a.absent():
		return b
	}
	both := make(value, 0, len(a)+len(b))
	return append(append(both, a[:len(a)-1]...), b[1:]...)
}

// called reads a tool call. Its arguments are normally a string that contains a JSON object;
// they are stored as the object. Some servers' parsers leave an empty call, without name and
// arguments, which is dropped.
func (c *completion) called(id, f value) error {
	args := f.member("arguments")
	if args.absent() {
		args = f.member("input") // Anthropic
	}
	call := toolCall{id: id, name: f.member("name")}
	// A call without a name cannot be answered by the client.
	if call.name.kind() != '"' || call.name.is("") {
		if args.absent() || args.is("") {
			return nil
		}
		return modelFault("a tool call has no function name")
	}
	var err error
	if call.arguments, err = arguments(args, c.finish == endLength); err != nil {
		return err
	}
	c.calls = append(c.calls, call)
	return nil
}

// arguments returns the object in a tool call's arguments. Some servers send the object itself,
// or for no arguments nothing, "null" or []. If the answer was cut by max_tokens, it returns
// the complete part.
func arguments(v value, cut bool) (value, error) {
	for range 2 { // some servers encode the string twice
		switch v.kind() {
		case '{':
			return v, nil
		case 'n':
			return value("{}"), nil
		case '[':
			if v.len() == 0 {
				return value("{}"), nil
			}
		case '"':
			s := []byte(v.text())
			if len(trim(s)) == 0 {
				return value("{}"), nil
			}
			args, err := parseAnswer(s)
			if err != nil && cut {
				return cutObject(s), nil
			}
			if err == nil {
				v = args
				continue
			}
		}
		break
	}
	if v.kind() == '{' {
		return v, nil
	}
	return nil, modelFault("the arguments of a tool call are not a JSON object")
}

// name returns an id for the answer, with the family's prefix. If the server sent none, the id
// is a hash of the answer, so that the same outcome always has the same bytes.
func (c completion) name(prefix string) string {
	if id := c.id.text(); id != "" { // the server's id with the family's prefix
		return prefix + id
	}
	h := fnv.New64a()
	h.Write(c.choice)
	return prefix + strconv.FormatUint(h.Sum64(), 36)
}

// stopped returns the requested stop sequence that ended the text, or nil.
func (c completion) stopped(asked value) value {
	if c.finish != endStop || c.stop.absent() {
		return nil
	}
	want := c.stop.text()
	for _, s := range asked.elements() {
		if s.is(want) {
			return s
		}
	}
	return nil
}

// callName returns the id of tool call i. If the server sent none, the id is made from the
// answer's.
func (c completion) callName(prefix string, i int) string {
	if id := c.calls[i].id.text(); id != "" {
		return id
	}
	return c.name(prefix) + "_" + strconv.Itoa(i)
}
