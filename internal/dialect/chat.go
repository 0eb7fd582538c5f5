package dialect

import (
	"strconv"

	"github.com/batholith/batholith"
)

// chat is the body of an OpenAI /chat/completions request in the making. Messages are written at once, in order; parameters
// are kept until the end, so that a later one replaces an earlier one of the same name.
type chat struct {
	buffer
	params []param
	last   string // role of the last message
}

type param struct {
	name string
	raw  value
}

// newChat begins a request; size is a guess at how long it will be.
func newChat(model string, size int) *chat {
	c := &chat{buffer: make(buffer, 0, size+512), params: make([]param, 0, 12)}
	c.open('{')
	c.textMember("model", model)
	c.key("messages")
	c.open('[')
	return c
}

// set gives a parameter its value; null leaves it out.
func (c *chat) set(name string, v value) {
	for i := range c.params {
		if c.params[i].name == name {
			c.params[i].raw = v
			return
		}
	}
	c.params = append(c.params, param{name, v})
}

// call ends the request. Nothing may be written afterwards.
func (c *chat) call() batholith.Call {
	c.close(']')
	if c.last == "assistant" {
		// The client began the model's answer itself: the server is to go on, not to open a new turn.
		c.set("continue_final_message", value("true"))
		c.set("add_generation_prompt", value("false"))
	}
	c.parameters()
	c.close('}')
	return batholith.Call{Path: "/chat/completions", Body: c.buffer}
}

func (c *chat) parameters() {
	for _, p := range c.params {
		if !p.raw.absent() {
			c.anyKey(p.name)
			c.raw(p.raw)
		}
	}
}

// turn is one message, taken apart. Its slices are used again for the next message.
type turn struct {
	role      string
	parts     []part
	reasoning value // a string: what the model thought in an earlier turn
	calls     []toolCall
	results   []toolResult
}

func (t *turn) reset(role string) {
	*t = turn{role: role, parts: t.parts[:0], calls: t.calls[:0], results: t.results[:0]}
}

// part is a piece of content: a text, or a medium by its URL.
type part struct {
	kind string // text, image_url, video_url, input_audio
	// text is a JSON string: the text, the URL, or the Base64 that follows the prefix.
	text   value
	prefix string // "data:image/png;base64,"; of audio its format
}

// toolCall is what an assistant asked a tool. All three are strings but arguments, which is any JSON.
type toolCall struct {
	id, name, arguments value
}

type toolResult struct {
	id    value
	parts []part
}

// turn writes a message. Results of tools are messages of their own and come before what the user says to them.
func (c *chat) turn(t *turn) {
	for _, r := range t.results {
		c.open('{')
		c.textMember("role", "tool")
		c.member("tool_call_id", r.id)
		c.content(r.parts)
		c.close('}')
		c.last = "tool"
	}
	if len(t.parts) == 0 && len(t.calls) == 0 && len(t.results) > 0 {
		return
	}
	c.open('{')
	c.textMember("role", t.role)
	if len(t.parts) > 0 || len(t.calls) == 0 {
		c.content(t.parts)
	}
	c.member("reasoning_content", t.reasoning)
	c.calls(t.calls)
	c.close('}')
	c.last = t.role
}

// content writes a single text as a string, which every server takes, and anything else as a list of parts.
func (c *chat) content(parts []part) {
	c.key("content")
	if len(parts) == 0 {
		c.literal(`""`)
		return
	}
	if len(parts) == 1 && parts[0].kind == "text" {
		c.raw(parts[0].text)
		return
	}
	c.open('[')
	for _, p := range parts {
		c.part(p)
	}
	c.close(']')
}

func (c *chat) part(p part) {
	c.open('{')
	c.textMember("type", p.kind)
	c.key(p.kind)
	switch p.kind {
	case "text":
		c.raw(p.text)
	case "input_audio":
		c.open('{')
		c.member("data", p.text)
		c.textMember("format", p.prefix)
		c.close('}')
	default:
		c.open('{')
		c.key("url")
		c.joined(p.prefix, p.text)
		c.close('}')
	}
	c.close('}')
}

// joined writes one string: the prefix, then the content of the string v.
func (b *buffer) joined(prefix string, v value) {
	if prefix == "" {
		b.raw(v)
		return
	}
	b.text(prefix)
	*b = (*b)[:len(*b)-1]
	*b = append(*b, v[1:]...)
}

func (c *chat) calls(calls []toolCall) {
	if len(calls) == 0 {
		return
	}
	c.key("tool_calls")
	c.open('[')
	for _, call := range calls {
		c.open('{')
		c.member("id", call.id)
		c.textMember("type", "function")
		c.key("function")
		c.open('{')
		c.member("name", call.name)
		c.key("arguments")
		c.quoted(call.arguments)
		c.close('}')
		c.close('}')
	}
	c.close(']')
}

// tool is a function that the model may call.
type tool struct {
	name, description, schema, strict value
}

func (b *buffer) tool(t tool) {
	b.open('{')
	b.textMember("type", "function")
	b.key("function")
	b.open('{')
	b.member("name", t.name)
	b.member("description", t.description)
	b.member("parameters", t.schema)
	b.member("strict", t.strict)
	b.close('}')
	b.close('}')
}

// forcedTool is the tool_choice that names one tool.
func forcedTool(name value) value {
	var b buffer
	b.open('{')
	b.textMember("type", "function")
	b.key("function")
	b.open('{')
	b.member("name", name)
	b.close('}')
	b.close('}')
	return value(b)
}

// jsonSchema is the response_format that holds the answer to a schema.
func jsonSchema(name, schema value) value {
	if name.absent() {
		name = value(`"answer"`)
	}
	var b buffer
	b.open('{')
	b.textMember("type", "json_schema")
	b.key("json_schema")
	b.open('{')
	b.member("name", name)
	b.member("schema", schema)
	b.literal(`"strict":true`)
	b.close('}')
	b.close('}')
	return value(b)
}

// thinking turns a model's thinking on or off the way that chat templates understand.
func (c *chat) thinking(on bool) {
	c.set("chat_template_kwargs", value(`{"enable_thinking":`+strconv.FormatBool(on)+`}`))
}

// thinking reads the switch of Anthropic's models: {"type":"enabled","budget_tokens":…}. Servers have no like of the budget.
func thinking(c *chat, v value) error {
	switch v.member("type").text() {
	case "enabled", "adaptive":
		c.thinking(true)
	case "disabled":
		c.thinking(false)
	default:
		return at("type", wrong("Input should be 'enabled', 'adaptive' or 'disabled'"))
	}
	return nil
}

// extensions are parameters that no family names, but that vLLM, SGLang or llama.cpp understand beside OpenAI's own.
var extensions = map[string]bool{
	"top_k": true, "min_p": true, "typical_p": true, "top_n_sigma": true, "min_tokens": true, "seed": true,
	"presence_penalty": true, "frequency_penalty": true, "repetition_penalty": true, "repeat_penalty": true, "repeat_last_n": true,
	"logit_bias": true, "logprobs": true, "top_logprobs": true, "stop_token_ids": true, "ignore_eos": true,
	"include_stop_str_in_output": true, "skip_special_tokens": true, "spaces_between_special_tokens": true,
	"guided_json": true, "guided_regex": true, "guided_choice": true, "guided_grammar": true, "structured_outputs": true,
	"regex": true, "ebnf": true, "grammar": true, "json_schema": true, "response_format": true, "parallel_tool_calls": true,
	"chat_template_kwargs": true, "reasoning_effort": true, "cache_prompt": true, "truncate_prompt_tokens": true,
	"mirostat": true, "mirostat_tau": true, "mirostat_eta": true, "dynatemp_range": true, "dynatemp_exponent": true,
	"xtc_probability": true, "xtc_threshold": true, "dry_multiplier": true, "dry_base": true, "dry_allowed_length": true,
	"dry_penalty_last_n": true, "dry_sequence_breakers": true, "samplers": true,
}

// other takes a member that the family does not know.
func (c *chat) other(name string, v value) error {
	if !extensions[name] {
		return extra(name)
	}
	c.set(name, v)
	return nil
}
