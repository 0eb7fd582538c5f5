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
	calls           []toolCall
	finish          string // stop, length, tool_calls, content_filter
	stop            value  // the stop sequence that the server met, when it tells
	choice          value
	tokens          batholith.Tokens
}

// parseChat reads the answer of /chat/completions.
func parseChat(body []byte) (completion, error) {
	c, err := parseCompletion(body)
	if err != nil {
		return c, err
	}
	message := c.choice.member("message")
	if message.kind() != '{' {
		return c, nonsense("its first choice has no message")
	}
	for name, v := range message.members() {
		switch name {
		case "content":
			if c.text, err = contentText(v); err != nil {
				return c, err
			}
		case "reasoning_content", "reasoning":
			if v.kind() == '"' && len(v) > len(`""`) {
				c.reasoning = v
			}
		case "tool_calls":
			if c.calls, err = parseCalls(v); err != nil {
				return c, err
			}
		}
	}
	if len(c.calls) > 0 && c.finish == "stop" {
		c.finish = "tool_calls" // what some servers say when one tool was forced
	}
	return c, nil
}

// parseText reads the answer of /completions.
func parseText(body []byte) (completion, error) {
	c, err := parseCompletion(body)
	if err != nil {
		return c, err
	}
	if c.text = c.choice.member("text"); c.text.kind() != '"' {
		return c, nonsense("its first choice has no text")
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
	if c.choice.kind() != '{' {
		return c, nonsense("it has no choices")
	}
	for name, v := range c.choice.members() {
		switch name {
		case "finish_reason":
			c.finish = v.text()
		case "stop_reason", "matched_stop": // vLLM, SGLang: the sequence, or the number of a token
			if v.kind() == '"' {
				c.stop = v
			}
		}
	}
	return c, nil
}

// answerObject reads an answer that must be an object and no error.
func answerObject(body []byte) (value, error) {
	doc, err := parse(body)
	if err != nil {
		return nil, nonsense("it is %v", err)
	}
	if doc.kind() != '{' {
		return nil, nonsense("it is no object")
	}
	if e := doc.member("error"); !e.absent() {
		return nil, nonsense("it is an error: %s", errorText(e))
	}
	return doc, nil
}

// errorText is the message of an OpenAI error, shortened.
func errorText(e value) string {
	s := e.text()
	if m := e.member("message"); m.kind() == '"' {
		s = m.text()
	}
	return shortened(s, 300)
}

// contentText is the text of a message: a string as a rule, a list of text parts from some servers.
func contentText(v value) (value, error) {
	switch v.kind() {
	case 'n':
		return nil, nil
	case '"':
		return v, nil
	case '[':
	default:
		return nil, nonsense("the content of its message is no text")
	}
	joined := value(`"`)
	for _, p := range v.elements() {
		text := p.member("text")
		if text.kind() != '"' {
			return nil, nonsense("the content of its message is no text")
		}
		joined = append(joined, text[1:len(text)-1]...)
	}
	return append(joined, '"'), nil
}

// parseCalls reads tool calls. Arguments come as a string that should hold an object; they leave as that object.
func parseCalls(v value) ([]toolCall, error) {
	var calls []toolCall
	for _, e := range v.elements() {
		f := e.member("function")
		call := toolCall{id: e.member("id"), name: f.member("name")}
		if call.name.kind() != '"' {
			return nil, nonsense("a tool call has no function name")
		}
		args, err := arguments(f.member("arguments"))
		if err != nil {
			return nil, err
		}
		call.arguments = args
		calls = append(calls, call)
	}
	return calls, nil
}

// arguments is the object in a call's arguments. Some servers give the object itself, and nothing where there are none.
func arguments(v value) (value, error) {
	if v.kind() == '{' {
		return v, nil
	}
	s := v.text()
	if s == "" {
		return value("{}"), nil
	}
	args, err := parse([]byte(s))
	if err != nil || args.kind() != '{' {
		return nil, nonsense("the arguments of a tool call are no JSON object")
	}
	return args, nil
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
	if c.finish != "stop" || c.stop.absent() {
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
