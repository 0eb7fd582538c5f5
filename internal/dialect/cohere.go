package dialect

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"

	"github.com/batholith/batholith"
)

// cohere translates the bodies of Cohere's Command R models: a message and the earlier turns
// (Bedrock: Cohere Command R). A minimal body and its answer:
//
//	{"message":"Hello","max_tokens":512}
//	{"response_id":"…","text":"Hi","generation_id":"…","chat_history":[…],"finish_reason":"COMPLETE","meta":{…}}
type cohere struct{ Options }

// request implements translator.
func (d cohere) request(body value, model string) (batholith.Call, error) {
	c := newChat(model, len(body))
	if err := d.body(c, body); err != nil {
		return batholith.Call{}, hintConverse(body, err)
	}
	return c.call(), nil
}

// body writes preamble, history, message and tool results as messages, in this order.
func (d cohere) body(c *chat, body value) error {
	var message, history, preamble, results value
	err := c.read(cohereChatBody, body, func(name string, v value) error {
		switch name {
		case "message":
			message = v
		case "chat_history":
			history = v
		case "preamble":
			preamble = v
		case "tool_results":
			results = v
		case "tools":
			return at(name, d.tools(c, v))
		case "response_format":
			return at(name, responseFormat(c, v))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := needString("message", message); err != nil {
		return err
	}
	// An empty preamble means that the model's default preamble is not wanted; there is none
	// here.
	if !preamble.is("") {
		c.text("system", preamble)
	}
	if err := d.history(c, history); err != nil {
		return at("chat_history", err)
	}
	if message.is("") && (results.len() > 0 || c.last == "tool") {
		return at("tool_results", d.results(c, results)) // the model must continue after its own tool calls
	}
	// Without tool results this is the last message.
	c.text("user", message)
	return at("tool_results", d.results(c, results))
}

// responseFormat converts Cohere's response_format with a schema to OpenAI's json_schema, the
// only form that servers read. A value in OpenAI's form is passed unchanged.
func responseFormat(c *chat, v value) error {
	var schema value
	err := c.readObject(cohereFormat, v, func(name string, v value) error {
		switch name {
		case "type":
			return wantString(name, v)
		case "schema", "json_schema":
			schema = v
			return wantObject(name, v)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case schema.absent() || !schema.member("schema").absent():
		c.set("response_format", v)
	default:
		c.set("response_format", jsonSchema(nil, nil, schema))
	}
	return nil
}

// history writes the turns before the message.
func (d cohere) history(c *chat, v value) error {
	for i, m := range v.elements() {
		if err := d.earlier(c, m); err != nil {
			return at(i, err)
		}
	}
	return nil
}

// earlier writes one earlier turn. Tool calls in it get ids, because Cohere has none.
func (d cohere) earlier(c *chat, m value) error {
	var role, text, calls, results value
	err := c.readObject(cohereTurn, m, func(name string, v value) error {
		switch name {
		case "role":
			role = v
		case "message":
			text = v
			return wantString(name, v)
		case "tool_calls":
			calls = v
			return wantArray(name, v)
		case "tool_results":
			results = v
			return wantArray(name, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	// Each role may have only its own members.
	if !calls.absent() && !role.is("CHATBOT") {
		return at("tool_calls", wrong("only a CHATBOT turn may have tool_calls"))
	}
	if !results.absent() && !role.is("TOOL") {
		return at("tool_results", wrong("only a TOOL turn may have tool_results"))
	}
	switch role.text() {
	case "TOOL":
		if text.says() && !text.absent() {
			return at("message", wrong("a TOOL turn has tool_results and no message"))
		}
		return at("tool_results", d.results(c, results))
	case "CHATBOT":
		if calls.len() > 0 {
			return at("tool_calls", d.called(c, text, calls))
		}
		c.text("assistant", text)
	case "USER":
		c.text("user", text)
	case "SYSTEM":
		c.text("system", text)
	default:
		return at("role", wrong("Input should be 'USER', 'CHATBOT', 'SYSTEM' or 'TOOL'"))
	}
	return needString("message", text)
}

// text writes a message with one text, a JSON string, or nothing if it is absent.
func (c *chat) text(role string, v value) {
	if !v.absent() {
		c.turn(&turn{role: role, parts: []part{{kind: "text", text: v}}})
	}
}

// called writes a model's turn with tool calls. Cohere repeats the calls in the results that
// follow; there they are left out.
func (d cohere) called(c *chat, text, calls value) error {
	t := turn{role: "assistant"}
	if text.says() && !text.absent() {
		t.parts = []part{{kind: "text", text: text}}
	}
	for i, e := range calls.elements() {
		call, err := d.call(c, e, i)
		if err != nil {
			return at(i, err)
		}
		t.calls = append(t.calls, call)
	}
	c.turn(&t)
	c.last, c.made = calledLast, t.calls
	return nil
}

// calledLast is the value of chat.last after a model's turn with tool calls.
const calledLast = "assistant, calling"

// call reads a tool call. Its id is made from its position, because Cohere has no ids.
func (d cohere) call(c *chat, v value, place int) (toolCall, error) {
	call := toolCall{id: value(strconv.Quote("call_" + strconv.Itoa(place))), arguments: value("{}")}
	err := c.readObject(cohereCall, v, func(name string, v value) error {
		switch name {
		case "name":
			call.name = v
		case "parameters":
			call.arguments = v
			return wantObject(name, v)
		}
		return nil
	})
	return call, first(err, needString("name", call.name))
}

// results writes the result of each tool call: for the calls of the previous turn with their
// ids, for any other call after a turn of the model that makes it.
func (d cohere) results(c *chat, v value) error {
	var made []toolCall // by the turn before
	if c.last == calledLast {
		made = c.made
	}
	var calls []toolCall // as the results name them
	var answers []toolResult
	for i, r := range v.elements() {
		var said, outputs value
		err := c.readObject(cohereResult, r, func(name string, v value) error {
			if name == "call" {
				said = v
			} else {
				outputs = v
			}
			return nil
		})
		if err != nil {
			return at(i, err)
		}
		call, err := d.call(c, said, len(made)+i)
		if err := first(at("call", err), needArray("outputs", outputs)); err != nil {
			return at(i, err)
		}
		calls = append(calls, call)
		var text buffer
		text.quoted(outputs)
		answers = append(answers, toolResult{id: call.id, parts: []part{{kind: "text", text: value(text)}}})
	}
	before, after := turn{role: "user"}, turn{role: "user"}
	unmade := turn{role: "assistant"}
	for i, k := range matched(made, calls) {
		if k < 0 {
			unmade.calls, after.results = append(unmade.calls, calls[i]), append(after.results, answers[i])
			continue
		}
		answers[i].id = made[k].id
		before.results = append(before.results, answers[i])
	}
	if len(before.results) > 0 {
		c.turn(&before)
	}
	if len(unmade.calls) > 0 {
		c.turn(&unmade)
		c.turn(&after)
	}
	return nil
}

// matched returns for each result the index of its call among those that were made, or -1. A
// result names its call by name and parameters, and results may come in any order. Results of
// equal calls keep their order. If no call has the parameters, the name is enough: clients
// leave parameters out or write them in another form.
func matched(made, named []toolCall) []int {
	of, used := make([]int, len(named)), make([]bool, len(made))
	for i := range of {
		of[i] = -1
	}
	for _, same := range []func(a, b toolCall) bool{
		func(a, b toolCall) bool { return sameText(a.name, b.name) && sameJSON(a.arguments, b.arguments) },
		func(a, b toolCall) bool { return sameText(a.name, b.name) },
	} {
		for i, call := range named {
			for k := 0; k < len(made) && of[i] < 0; k++ {
				if !used[k] && same(made[k], call) {
					of[i], used[k] = k, true
				}
			}
		}
	}
	return of
}

// sameText reports whether two JSON strings are equal, however they are escaped.
func sameText(a, b value) bool { return a.text() == b.text() }

// sameJSON reports whether two JSON values are equal but for white space, escapes and the order
// of members.
func sameJSON(a, b value) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	return decodeNumbers(a, &x) == nil && decodeNumbers(b, &y) == nil && reflect.DeepEqual(x, y)
}

// decodeNumbers is json.Unmarshal that keeps numbers as they are written.
func decodeNumbers(v value, to any) error {
	d := json.NewDecoder(bytes.NewReader(v))
	d.UseNumber()
	return d.Decode(to)
}

// tools converts tool definitions. Cohere has parameter_definitions instead of a JSON Schema.
func (d cohere) tools(c *chat, v value) error {
	if v.kind() != '[' {
		return wrong("Input should be a valid list")
	}
	var b buffer
	b.open('[')
	for i, e := range v.elements() {
		var t tool
		var definitions value
		err := c.readObject(cohereTool, e, func(name string, v value) error {
			switch name {
			case "name":
				t.name = v
			case "description":
				t.description = v
			case "parameter_definitions":
				definitions = v
			}
			return nil
		})
		if err := first(err, needString("name", t.name)); err != nil {
			return at(i, err)
		}
		if t.schema, err = d.schema(c, definitions); err != nil {
			return at(i, at("parameter_definitions", err))
		}
		b.tool(t)
	}
	b.close(']')
	c.addTools(value(b))
	return nil
}

// schema converts parameter_definitions to a JSON Schema.
func (d cohere) schema(c *chat, definitions value) (value, error) {
	var b, required buffer
	b.literal(`{"type":"object","properties":{`)
	required.open('[')
	for name, p := range definitions.members() {
		if p.kind() != '{' {
			return nil, at(name, wrong("Input should be an object"))
		}
		var typ, description value
		b.anyKey(name)
		b.open('{')
		err := cohereParameter.read(&c.changes, p, func(r *rule, v value) error {
			switch r.name {
			case "type":
				typ = v
				return wantString(r.name, v)
			case "description":
				description = v
				return wantString(r.name, v)
			case "required":
				if v.isTrue() {
					required.text(name)
				}
			}
			return nil
		}, func(more string, v value) error {
			b.anyKey(more)
			b.raw(v)
			return nil
		})
		if err != nil {
			return nil, at(name, err)
		}
		// A type that JSON Schema cannot express is described in words.
		if !b.pythonType(typ.text()) {
			var t textBuffer
			t.add(description)
			t.say("Type: " + typ.text())
			description = t.value()
		}
		b.member("description", description)
		b.close('}')
	}
	b.close('}')
	required.close(']')
	b.member("required", value(required))
	b.close('}')
	return value(b), nil
}

// answer writes Cohere's answer. All prompt tokens count as billed, because the format has no
// cached tokens.
func (d cohere) answer(input value, call batholith.Call, body []byte) (batholith.Answer, error) {
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
	// Cohere's tool calls have no ids.
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
	return batholith.Answer{Output: b, Tokens: c.tokens, Model: c.model.text()}, nil
}

// grown writes chat_history: the record's turns, its message, and the answer.
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

// cohereFinish returns the finish_reason in Cohere's words.
func cohereFinish(c completion) string {
	switch c.finish {
	case endLength:
		return "MAX_TOKENS"
	case endFilter:
		return "ERROR_TOXIC"
	}
	return "COMPLETE"
}
