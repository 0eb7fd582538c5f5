package dialect

import (
	"strconv"

	"github.com/batholith/batholith"
)

// cohere is the body of Cohere's Command R models: a message, and the turns before it (Bedrock: Cohere Command R).
type cohere struct{ Options }

func (d cohere) request(body value, model string) (batholith.Call, error) {
	c := newChat(model, len(body))
	if err := d.body(c, body); err != nil {
		return batholith.Call{}, hintConverse(body, err)
	}
	return c.call(), nil
}

func (d cohere) body(c *chat, body value) error {
	var message, history, preamble, results value
	err := body.each(func(name string, v value) error {
		switch name {
		case "message":
			message = v
		case "chat_history":
			history = v
			return wantArray(name, v)
		case "preamble":
			preamble = v
			return wantString(name, v)
		case "tool_results":
			results = v
			return wantArray(name, v)
		default:
			return d.parameter(c, name, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := needString("message", message); err != nil {
		return err
	}
	c.text("system", preamble)
	if err := d.history(c, history); err != nil {
		return at("chat_history", err)
	}
	if message.is("") && results.len() > 0 {
		return at("tool_results", d.results(c, results)) // the model is to go on from its own calls
	}
	c.text("user", message)
	return at("tool_results", d.results(c, results))
}

// cohereParameters have the names and ranges of the models (Bedrock: Cohere Command R, request). Documents go to the chat
// template, as vLLM has it.
var cohereParameters = parameters{
	"max_tokens":      {"max_tokens", count(1)},
	"temperature":     {"temperature", number(0, 5)},
	"p":               {"top_p", number(0, 1)},
	"k":               {"top_k", count(0)},
	"stop_sequences":  {"stop", wantStrings},
	"documents":       {"documents", wantArray},
	"response_format": {"response_format", wantObject},
}

func (d cohere) parameter(c *chat, name string, v value) error {
	switch name {
	case "tools":
		return at(name, d.tools(c, v))
	case "prompt_truncation", "search_queries_only", "raw_prompting", "return_prompt", "citation_quality", "force_single_step":
		if v.isTrue() {
			return at(name, wrong("cannot be served"))
		}
		return nil
	}
	return c.take(cohereParameters, name, v)
}

// history writes the turns before the message.
func (d cohere) history(c *chat, v value) error {
	for i, m := range v.elements() {
		text := m.member("message")
		var err error
		switch role := m.member("role").text(); role {
		case "USER", "CHATBOT", "SYSTEM":
			err = needString("message", text)
			c.text(map[string]string{"USER": "user", "CHATBOT": "assistant", "SYSTEM": "system"}[role], text)
		case "TOOL":
			err = at("tool_results", d.results(c, m.member("tool_results")))
		default:
			err = at("role", wrong("Input should be 'USER', 'CHATBOT', 'SYSTEM' or 'TOOL'"))
		}
		if err != nil {
			return at(i, err)
		}
	}
	return nil
}

// text writes a message of one text, a JSON string; nothing when it is absent.
func (c *chat) text(role string, v value) {
	if !v.absent() {
		c.turn(&turn{role: role, parts: []part{{kind: "text", text: v}}})
	}
}

// results writes the calls that the model made and what came of each. Cohere has no ids for them, so that their place is one.
func (d cohere) results(c *chat, v value) error {
	calls, answers := turn{role: "assistant"}, turn{role: "user"}
	for i, r := range v.elements() {
		call, outputs := r.member("call"), r.member("outputs")
		if err := first(at("call", needString("name", call.member("name"))), needArray("outputs", outputs)); err != nil {
			return at(i, err)
		}
		id := value(strconv.Quote("call_" + strconv.Itoa(i)))
		args := call.member("parameters")
		if args.absent() {
			args = value("{}")
		}
		calls.calls = append(calls.calls, toolCall{id: id, name: call.member("name"), arguments: args})
		var text buffer
		text.quoted(outputs)
		answers.results = append(answers.results, toolResult{id: id, parts: []part{{kind: "text", text: value(text)}}})
	}
	if len(calls.calls) > 0 {
		c.turn(&calls)
		c.turn(&answers)
	}
	return nil
}

// tools makes schemas of Cohere's definitions of parameters.
func (d cohere) tools(c *chat, v value) error {
	if v.kind() != '[' {
		return wrong("Input should be a valid list")
	}
	var b buffer
	b.open('[')
	for i, e := range v.elements() {
		t := tool{name: e.member("name"), description: e.member("description")}
		if err := needString("name", t.name); err != nil {
			return at(i, err)
		}
		t.schema = cohereSchema(e.member("parameter_definitions"))
		b.tool(t)
	}
	b.close(']')
	if len(b) > len("[]") {
		c.set("tools", value(b))
	}
	return nil
}

// cohereTypes are JSON Schema's names for Cohere's, which are Python's.
var cohereTypes = map[string]string{
	"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object",
}

// cohereSchema makes a JSON Schema of parameter_definitions.
func cohereSchema(definitions value) value {
	var b, required buffer
	b.literal(`{"type":"object","properties":{`)
	required.open('[')
	for name, p := range definitions.members() {
		b.anyKey(name)
		b.open('{')
		typ := p.member("type").text()
		if known, ok := cohereTypes[typ]; ok {
			typ = known
		}
		if typ != "" {
			b.textMember("type", typ)
		}
		b.member("description", p.member("description"))
		b.close('}')
		if p.member("required").isTrue() {
			required.text(name)
		}
	}
	b.close('}')
	required.close(']')
	b.member("required", value(required))
	b.close('}')
	return value(b)
}

// answer writes one turn. All prompt tokens are billed units: Cohere knows no cache.
func (d cohere) answer(input value, body []byte) (batholith.Answer, error) {
	c, err := parseChat(body)
	if err != nil {
		return batholith.Answer{}, err
	}
	if c.text.absent() {
		c.text = value(`""`)
	}
	b := make(buffer, 0, len(input)+len(c.text)+512)
	b.open('{')
	b.textMember("response_id", c.name("response_"))
	b.member("text", c.text)
	b.textMember("generation_id", c.name("generation_"))
	b.key("chat_history")
	d.grown(&b, input, c.text)
	b.textMember("finish_reason", cohereFinish(c))
	if len(c.calls) > 0 {
		b.key("tool_calls")
		b.open('[')
		for _, call := range c.calls {
			b.open('{')
			b.member("name", call.name)
			b.member("parameters", call.arguments)
			b.close('}')
		}
		b.close(']')
	}
	b.literal(`"meta":{"api_version":{"version":"1"},"billed_units":{`)
	b.integerMember("input_tokens", c.tokens.Input)
	b.integerMember("output_tokens", c.tokens.Output)
	b = append(b, "}}}"...)
	return batholith.Answer{Output: b, Tokens: c.tokens}, nil
}

// grown writes the turns that the record gave, its message, and the answer.
func (d cohere) grown(b *buffer, input, text value) {
	b.open('[')
	for _, m := range input.member("chat_history").elements() {
		b.raw(m)
	}
	b.literal(`{"role":"USER"`)
	b.member("message", input.member("message"))
	b.close('}')
	b.literal(`{"role":"CHATBOT"`)
	b.member("message", text)
	b.close('}')
	b.close(']')
}

// cohereFinish is the finish_reason in Cohere's words.
func cohereFinish(c completion) string {
	switch c.finish {
	case "length":
		return "MAX_TOKENS"
	case "content_filter":
		return "ERROR_TOXIC"
	}
	return "COMPLETE"
}
