package dialect

import (
	"strings"

	"github.com/batholith/batholith"
)

// responses translates OpenAI's Responses API, without what a server must keep between calls: its
// core is a chat. A minimal body and its answer:
//
//	{"model":"…","input":"Hello"}
//	{"id":"resp_…","object":"response","status":"completed","output":[{"type":"message","role":"assistant",
//	 "content":[{"type":"output_text","text":"Hi","annotations":[]}],…}],"usage":{"input_tokens":8,…},…}
type responses struct{ Options }

// noState is the refusal of what refers to earlier calls.
const noState = "Batholith keeps no responses; send the earlier turns in input"

// responsesBody lists the members of a body.
var responsesBody = membersAt("", refuseRest, rules{
	"model":                  checked("the model's name"),
	"input":                  taken(),
	"instructions":           taken().checking(wantString),
	"max_output_tokens":      sent("max_tokens", count(1)),
	"temperature":            sent("temperature", number(0, 2)),
	"top_p":                  sent("top_p", number(0, 1)),
	"tools":                  taken().checking(wantArray),
	"tool_choice":            taken(),
	"parallel_tool_calls":    sent("parallel_tool_calls", wantBool),
	"text":                   taken().checking(wantObject),
	"reasoning":              taken().checking(wantObject),
	"stream":                 checked("a stream is asked for"),
	"stream_options":         ignored("streams have no padding"),
	"store":                  ignored("no response is kept"),
	"metadata":               ignored("no response is kept"),
	"include":                ignored("nothing more is known"),
	"user":                   ignored("principals are told apart by their keys"),
	"safety_identifier":      ignored("principals are told apart by their keys"),
	"prompt_cache_key":       ignored("the server decides"),
	"prompt_cache_retention": ignored("the server decides"),
	"service_tier":           ignored("there is one tier"),
	"top_logprobs":           refused("it is not supported here; use chat completions"),
	"max_tool_calls":         refused("there are no tools here that the server runs; leave it out"),
	"previous_response_id":   refused(noState),
	"conversation":           refused(noState),
	"prompt":                 refused("Batholith keeps no prompts; send the text itself"),
	"background":             taken(),
	"truncation":             taken(),
})

// responsesText, responsesReasoning and responsesTool are objects of a body.
var (
	responsesText      = membersAt("text", refuseRest, rules{"format": taken(), "verbosity": ignored("the server's default")})
	responsesReasoning = membersAt("reasoning", refuseRest, rules{
		"effort": taken(), "summary": ignored("thoughts are not summed up"), "generate_summary": ignored("thoughts are not summed up")})
)

// request implements translator.
func (d responses) request(body value, model string) (batholith.Call, error) {
	c := newChat(model, len(body))
	if err := d.body(c, body); err != nil {
		return batholith.Call{}, err
	}
	return c.call(), nil
}

// body reads the members. The conversation comes last, because the instructions come before it.
func (d responses) body(c *chat, body value) error {
	var instructions, input value
	err := c.read(responsesBody, body, func(name string, v value) error {
		switch name {
		case "input":
			input = v
		case "instructions":
			instructions = v
		default:
			return at(name, d.parameter(c, name, v))
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case input.absent():
		return required("input")
	}
	if instructions.says() && !instructions.absent() {
		c.turn(&turn{role: "system", parts: []part{{kind: "text", text: instructions}}})
	}
	return first(c.choosable("tool_choice"), at("input", d.input(c, input)))
}

// parameter reads a member that is not part of the conversation.
func (d responses) parameter(c *chat, name string, v value) error {
	switch name {
	case "tools":
		return d.tools(c, v)
	case "tool_choice":
		return d.toolChoice(c, v)
	case "text":
		return c.readObject(responsesText, v, func(name string, v value) error { return at(name, d.format(c, v)) })
	case "reasoning":
		return c.readObject(responsesReasoning, v, func(name string, v value) error {
			if v.is("none") {
				c.thinking(false)
				return nil
			}
			return at(name, c.effort(responsesReasoning.rules["effort"].path, v))
		})
	case "background":
		if v.isTrue() {
			return wrong("answers are not made in the background; leave it out, or create a batch job")
		}
	case "truncation":
		if !v.is("disabled") {
			return wrong("prompts are not truncated; give 'disabled', or leave it out")
		}
	}
	return nil
}

// format reads the format of the answer: chat completions have the same, with the schema one
// level deeper.
func (d responses) format(c *chat, v value) error {
	switch v.member("type").text() {
	case "text":
	case "json_object":
		c.set("response_format", value(`{"type":"json_object"}`))
	case "json_schema":
		c.set("response_format", jsonSchema(v.member("name"), v.member("description"), v.member("schema")))
		return needObject("schema", v.member("schema"))
	default:
		return at("type", wrong("Input should be 'text', 'json_object' or 'json_schema'"))
	}
	return nil
}

// tools reads tool definitions. Tools that OpenAI runs are refused.
func (d responses) tools(c *chat, v value) error {
	var b buffer
	b.open('[')
	for i, e := range v.elements() {
		if typ := e.member("type"); !typ.is("function") {
			return at(i, at("type", wrong("'%s' is a tool that OpenAI runs or defines, and Batholith cannot; give a tool of type 'function'", typ.text())))
		}
		if err := needString("name", e.member("name")); err != nil {
			return at(i, err)
		}
		b.tool(tool{name: e.member("name"), description: e.member("description"), schema: e.member("parameters"), strict: e.member("strict")})
	}
	b.close(']')
	c.addTools(value(b))
	return nil
}

// toolChoice reads tool_choice.
func (d responses) toolChoice(c *chat, v value) error {
	switch {
	case v.is("auto"), v.is("none"), v.is("required"):
		c.set("tool_choice", v)
	case v.member("type").is("function"):
		if err := needString("name", v.member("name")); err != nil {
			return err
		}
		c.set("tool_choice", forcedTool(v.member("name")))
	default:
		return wrong("Input should be 'auto', 'none', 'required' or a function")
	}
	return nil
}

// input reads the conversation: a text, or a list of items.
func (d responses) input(c *chat, v value) error {
	if v.kind() == '"' {
		c.turn(&turn{role: "user", parts: []part{{kind: "text", text: v}}})
		return nil
	}
	if v.kind() != '[' {
		return wrong("Input should be a valid string or a list of items")
	}
	for i, item := range v.elements() {
		if err := d.item(c, item); err != nil {
			return at(i, err)
		}
	}
	if v.len() == 0 {
		return wrong("at least one item is required")
	}
	return nil
}

// item reads one item of the conversation.
func (d responses) item(c *chat, item value) error {
	switch typ := item.member("type"); typ.text() {
	case "", "message":
		return d.message(c, item)
	case "function_call":
		call := toolCall{id: item.member("call_id"), name: item.member("name")}
		var err error
		if call.arguments, err = arguments(item.member("arguments"), false); err != nil {
			return at("arguments", wrong("Input should be a JSON object in a string"))
		}
		c.turn(&turn{role: "assistant", calls: []toolCall{call}})
		return first(needString("call_id", call.id), needString("name", call.name))
	case "function_call_output":
		r := toolResult{id: item.member("call_id")}
		var err error
		if r.parts, err = d.content(c, item.member("output")); err != nil {
			return at("output", err)
		}
		c.turn(&turn{role: "user", results: []toolResult{r}})
		return needString("call_id", r.id)
	case "reasoning":
		if thought := d.thought(item); !thought.absent() {
			c.turn(&turn{role: "assistant", reasoning: thought})
		}
		return nil
	case "item_reference":
		return at("type", wrong(noState))
	default:
		return at("type", wrong("items of type '%s' are not supported here; give messages, function calls and their outputs", typ.text()))
	}
}

// thought returns the text of an earlier thought, or nil. Encrypted ones have none.
func (d responses) thought(item value) (text value) {
	for _, p := range item.member("content").elements() {
		if t := p.member("text"); t.kind() == '"' {
			text = joined(text, t)
		}
	}
	return text
}

// message reads a message.
func (d responses) message(c *chat, item value) error {
	role := item.member("role").text()
	switch role {
	case "user", "assistant", "system":
	case "developer":
		role = "system"
	default:
		return at("role", wrong("Input should be 'user', 'assistant', 'system' or 'developer'"))
	}
	parts, err := d.content(c, item.member("content"))
	if err != nil {
		return at("content", err)
	}
	c.turn(&turn{role: role, parts: parts})
	return nil
}

// content reads a text or a list of parts.
func (d responses) content(c *chat, v value) (parts []part, err error) {
	if v.kind() == '"' {
		return []part{{kind: "text", text: v}}, nil
	}
	if v.kind() != '[' {
		return nil, wrong("Input should be a valid string or a list of parts")
	}
	for i, p := range v.elements() {
		switch typ := p.member("type").text(); typ {
		case "input_text", "output_text", "text", "summary_text":
			if err := needString("text", p.member("text")); err != nil {
				return nil, at(i, err)
			}
			parts = append(parts, part{kind: "text", text: p.member("text")})
		case "refusal":
			parts = append(parts, part{kind: "text", text: p.member("refusal")})
		case "input_file":
			name, data, place, _, err := filePart(p)
			if err != nil {
				return nil, at(i, err)
			}
			texts, err := d.textOf(c, "input.content."+place, name, data)
			if err != nil {
				return nil, at(i, at(place, err))
			}
			parts = append(parts, texts...)
		case "input_image":
			url := p.member("image_url")
			if !strings.HasPrefix(url.text(), "data:") && !strings.HasPrefix(url.text(), "http") {
				return nil, at(i, at("image_url", wrong("give the image as a data: URL; files are not kept here")))
			}
			parts = append(parts, part{kind: "image_url", text: url})
		default:
			return nil, at(i, at("type", wrong("parts of type '%s' are not supported here; give input_text, input_image and input_file", typ)))
		}
	}
	return parts, nil
}

// answer implements translator.
func (d responses) answer(input value, call batholith.Call, body []byte) (batholith.Answer, error) {
	c, err := parseChat(body)
	if err != nil {
		return batholith.Answer{}, err
	}
	b := make(buffer, 0, len(c.text)+len(c.reasoning)+1024)
	d.object(&b, input, c, c.name("resp_"), responseStatus(c))
	return batholith.Answer{Output: b, Tokens: c.tokens, Model: c.model.text()}, nil
}

// responseStatus returns the status of an answer.
func responseStatus(c completion) string {
	if c.finish == endLength || c.finish == endFilter && c.refusal.absent() {
		return "incomplete"
	}
	return "completed"
}

// object writes a response. It repeats the parameters of the request, as OpenAI does. A response
// in progress has no output and no usage.
func (d responses) object(b *buffer, input value, c completion, id, status string) {
	b.open('{')
	b.textMember("id", id)
	b.textMember("object", "response")
	b.key("created_at")
	b.raw(firstOf(c.created, value("0")))
	b.textMember("status", status)
	b.literal(`"error":null`)
	switch {
	case status != "incomplete":
		b.literal(`"incomplete_details":null`)
	case c.finish == endFilter:
		b.literal(`"incomplete_details":{"reason":"content_filter"}`)
	default:
		b.literal(`"incomplete_details":{"reason":"max_output_tokens"}`)
	}
	b.textMember("model", d.shown(c.model.text()))
	b.key("output")
	b.open('[')
	if status != "in_progress" {
		d.output(b, c)
	}
	b.close(']')
	for _, p := range [...]struct{ name, otherwise string }{
		{"instructions", "null"}, {"max_output_tokens", "null"}, {"parallel_tool_calls", "true"}, {"temperature", "1"}, {"top_p", "1"},
		{"tool_choice", `"auto"`}, {"tools", "[]"}, {"metadata", "{}"}, {"text", `{"format":{"type":"text"}}`}, {"reasoning", `{"effort":null,"summary":null}`},
	} {
		b.key(p.name)
		if v := input.member(p.name); !v.absent() {
			b.raw(v)
		} else {
			b.literal(p.otherwise)
		}
	}
	b.literal(`"previous_response_id":null,"store":false,"truncation":"disabled"`)
	b.key("usage")
	if status == "in_progress" {
		b.literal("null")
	} else {
		b.open('{')
		b.integerMember("input_tokens", c.tokens.Input)
		b.key("input_tokens_details")
		b.open('{')
		b.integerMember("cached_tokens", c.tokens.CacheRead)
		b.close('}')
		b.integerMember("output_tokens", c.tokens.Output)
		b.literal(`"output_tokens_details":{"reasoning_tokens":0}`)
		b.integerMember("total_tokens", c.tokens.Input+c.tokens.Output)
		b.close('}')
	}
	b.close('}')
}

// output writes the items: thoughts, text and tool calls, in this order.
func (d responses) output(b *buffer, c completion) {
	n := 0
	if !c.reasoning.absent() {
		b.raw(responseThought(c.itemName("rs_", n), c.reasoning))
		n++
	}
	if len(c.text) > len(`""`) || !c.text.absent() && len(c.calls) == 0 {
		b.raw(responseMessage(c.itemName("msg_", n), c.text, c.refusal, "completed"))
		n++
	}
	for i, call := range c.calls {
		var args buffer
		args.quoted(call.arguments)
		b.raw(responseCall(c.itemName("fc_", n), c.callName("call_", i), call.name, value(args), "completed"))
		n++
	}
}

// itemName returns the id of the n-th item.
func (c completion) itemName(prefix string, n int) string {
	return c.name(prefix) + "_" + string(rune('0'+min(n, 9)))
}

// responseThought returns an item with a thought.
func responseThought(id string, text value) buffer {
	var b buffer
	b.open('{')
	b.textMember("id", id)
	b.literal(`"type":"reasoning","summary":[],"content":[`)
	if !text.absent() {
		b.literal(`{"type":"reasoning_text"`)
		b.member("text", text)
		b.close('}')
	}
	b.close(']')
	b.close('}')
	return b
}

// responseMessage returns an item with a text, or with none yet.
func responseMessage(id string, text, refusal value, status string) buffer {
	var b buffer
	b.open('{')
	b.textMember("id", id)
	b.literal(`"type":"message"`)
	b.textMember("status", status)
	b.literal(`"role":"assistant","content":[`)
	if !text.absent() {
		b.raw(responsePart(text, refusal))
	}
	b.close(']')
	b.close('}')
	return b
}

// responsePart returns the content of a message: a text, or a refusal.
func responsePart(text, refusal value) buffer {
	var b buffer
	if !refusal.absent() && string(refusal) == string(text) {
		b.literal(`{"type":"refusal"`)
		b.member("refusal", text)
	} else {
		b.literal(`{"type":"output_text"`)
		b.member("text", text)
		b.literal(`"annotations":[],"logprobs":[]`)
	}
	b.close('}')
	return b
}

// responseCall returns an item with a tool call. args is a JSON string.
func responseCall(id, call string, name, args value, status string) buffer {
	var b buffer
	b.open('{')
	b.textMember("id", id)
	b.literal(`"type":"function_call"`)
	b.textMember("status", status)
	b.member("arguments", args)
	b.textMember("call_id", call)
	b.member("name", name)
	b.close('}')
	return b
}
