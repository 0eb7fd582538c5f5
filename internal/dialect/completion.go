package dialect

import (
	"hash/fnv"
	"strconv"

	"github.com/batholith/batholith"
)

// completion is what an OpenAI-compatible server answered, taken apart: the first choice and the usage.
type completion struct {
	id, model       value
	text, reasoning value // strings; absent when the server gave none
	refusal         value // the words of a refusal, likewise
	calls           []toolCall
	finish          string // stop, length, tool_calls, content_filter; "" until it is known
	told            string // finish, as the server has it
	stop            value  // the stop sequence that the server met, when it tells
	choice, message value
	tokens          batholith.Tokens
}

// parseChat reads the answer of /chat/completions.
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
	var thought value // where it is beside the content
	var calls, call value
	for name, v := range message.present() {
		switch name {
		case "content":
			if err := c.content(v); err != nil {
				return err
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
		case "function_call": // OpenAI's form of a call before there were several
			call = v
		}
	}
	c.reasoning = joined(thought, c.reasoning)
	for _, e := range calls.elements() {
		if err := c.called(e.member("id"), e.member("function")); err != nil {
			return err
		}
	}
	if call.kind() == '{' && len(c.calls) == 0 {
		if err := c.called(nil, call); err != nil {
			return err
		}
	}
	return c.ends()
}

// ends makes the end of a chat fit its content. An answer that is not whole, or has none, fails the attempt.
func (c *completion) ends() error {
	if !c.refusal.absent() {
		c.finish = endFilter
		if len(c.text) <= len(`""`) {
			c.text = c.refusal
		}
	}
	said := !c.text.absent() || !c.reasoning.absent() || len(c.calls) > 0
	switch {
	case c.finish == "" && len(c.text) <= len(`""`) && c.reasoning.absent() && len(c.calls) == 0, c.finish == endStop && !said, c.finish == endTools && !said:
		return nothingSaid()
	case len(c.calls) > 0 && (c.finish == endStop || c.finish == ""): // what some servers say when one tool was forced
		c.finish = endTools
	case c.finish == "", c.finish == endTools && len(c.calls) == 0: // a call that the server took for text
		c.finish = endStop
	}
	return nil
}

// parseText reads the answer of /completions.
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

// parseCompletion reads what both kinds of answer have in common.
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

// chosen reads what is said of a choice beside its content.
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
	if isError(failed) {
		return errorWithin(failed)
	}
	end, broken := endOf(finish)
	if c.finish, c.told = end, end; broken {
		return brokenOff(finish)
	}
	return nil
}

// answerObject reads an answer that must be an object and no error.
func answerObject(body []byte) (value, error) {
	doc, err := parseAnswer(body)
	if err != nil {
		return nil, nonsense("it is %v", err)
	}
	if doc.kind() != '{' {
		return nil, nonsense("it is no object")
	}
	if e := doc.member("error"); isError(e) {
		return nil, errorWithin(e)
	}
	return doc, nil
}

// isError tells whether the member "error" of an answer has an error. Some servers have an empty one beside every answer, with its members or
// without.
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

// errorText is the message of an OpenAI error, shortened.
func errorText(e value) string {
	s := e.text()
	if m := e.member("message"); m.kind() == '"' {
		s = m.text()
	}
	return shortened(s, 300)
}

// content reads the content of a message: a string as a rule, from some servers a list of strings and of parts with types.
func (c *completion) content(v value) error {
	c.text = nil // of two, the last one counts
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
			return nonsense("the content of its message is no text")
		}
	default:
		return nonsense("the content of its message is no text")
	}
	return nil
}

// part reads a part of a message: text, a thought (Mistral, Anthropic), a refusal (OpenAI), a call (Anthropic). Parts of other types, such as
// references, have no words, and no place in an answer.
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

// textOf is a string, or the text of a list of parts; nil for anything else.
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

// joined is one string of two; either may be absent.
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

// called reads a tool call. Arguments come as a string that should hold an object; they leave as that object. A call without name and
// arguments is what some parsers leave behind, and no call.
func (c *completion) called(id, f value) error {
	args := f.member("arguments")
	if args.absent() {
		args = f.member("input") // Anthropic
	}
	call := toolCall{id: id, name: f.member("name")}
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

// arguments is the object in a call's arguments. Some servers give the object itself, and nothing, "null" or [] where there are none. Of
// arguments that the bound of the answer cut, it is what is whole.
func arguments(v value, cut bool) (value, error) {
	for range 2 { // some servers put the string into a string
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
	return nil, modelFault("the arguments of a tool call are no JSON object")
}

// name is an identifier of the answer with a prefix of the family's own. A server that gives none gets one that depends on
// nothing but the answer, so that the same outcome always has the same bytes.
func (c completion) name(prefix string) string {
	if id := c.id.text(); id != "" {
		return prefix + id
	}
	h := fnv.New64a()
	h.Write(c.choice)
	return prefix + strconv.FormatUint(h.Sum64(), 36)
}

// stopped is the stop sequence among those asked for that ended the text, or nil.
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

// callName is the id of the tool call at position i, made up where the server gave none.
func (c completion) callName(prefix string, i int) string {
	if id := c.calls[i].id.text(); id != "" {
		return id
	}
	return c.name(prefix) + "_" + strconv.Itoa(i)
}
