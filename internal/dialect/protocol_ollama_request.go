package dialect

import (
	"github.com/batholith/batholith"
)

// ollamaRequest builds a request of /api/chat or /api/generate.
type ollamaRequest struct {
	options buffer           // members of options, without the braces
	rest    buffer           // all other members, without the braces
	limit   int64            // output tokens
	penalty bool             // the record sets repetition_penalty
	images  int              // number of images
	pixels  int              // bytes of the images in rest
	names   map[string]value // names of the tools, by the id of the call
	narrow
}

// ollamaRequestOf converts a chat, or a prompt that already contains the chat template. options with
// num_ctx, the size of the context, is the first member: package upstream changes it there.
func ollamaRequestOf(hub batholith.Call, path string) (batholith.Call, error) {
	body := trim(hub.Body)
	r := ollamaRequest{limit: defaultReply, names: map[string]value{}, narrow: newNarrow("Ollama", hub.Changes)}
	for raw, v := range body.fields() {
		if v.absent() {
			continue
		}
		name := raw.text()
		if err := at(name, r.member(name, v)); err != nil {
			return batholith.Call{}, err
		}
	}
	b := newBuffer(len(body) + 256)
	b.literal(`{"options":{`)
	if !r.penalty { // Ollama's default of 1.1 penalizes the last 64 tokens, which changes even greedy answers
		r.options.integerMember("repeat_penalty", 1)
	}
	b.integerMember("num_ctx", contextFor(len(r.rest)-r.pixels, r.images, r.limit))
	if len(r.options) > 0 {
		b.raw(r.options)
	}
	b.close('}')
	b.raw(r.rest)
	if path == ollamaGeneratePath {
		b.literal(`"raw":true`)
	}
	b.literal(`"stream":false,"truncate":false,"shift":false`)
	b.close('}')
	return batholith.Call{Path: path, Body: b, ServerTools: hub.ServerTools, Changes: r.changes, Spare: r.spare}, nil
}

// ollamaOptions maps sampling members to their names in Ollama's options.
var ollamaOptions = map[string]string{"temperature": "temperature", "top_p": "top_p", "min_p": "min_p", "seed": "seed", "frequency_penalty": "frequency_penalty",
	"presence_penalty": "presence_penalty", "repetition_penalty": "repeat_penalty"}

// member reads one member of the request. Errors are relative to it.
func (r *ollamaRequest) member(name string, v value) error {
	if option, ok := ollamaOptions[name]; ok {
		r.penalty = r.penalty || option == "repeat_penalty"
		r.options.member(option, v)
		return nil
	}
	switch name {
	case "model":
		r.rest.member(name, v)
	case "messages":
		return r.messages(v)
	case "prompt":
		if v.kind() != '"' {
			return wrong("Ollama takes one prompt, as a string")
		}
		r.rest.member(name, v)
	case "max_tokens", "max_completion_tokens":
		if n, ok := v.integer(); ok {
			r.limit = n
		}
		r.options.member("num_predict", v)
	case "top_k":
		if n, ok := v.integer(); ok && n > 0 { // vLLM: -1 and 0 mean all
			r.options.member(name, v)
		}
	case "stop":
		r.options.member(name, stops(v))
	case "tools":
		if v.filled() {
			r.rest.member(name, v)
		}
	case "tool_choice":
		if !v.is("auto") {
			return wrong("Ollama can neither force nor forbid a tool; leave it out, or use a backend with the protocol openai")
		}
	case "response_format":
		return r.format(v)
	case "chat_template_kwargs":
		return r.template(v, r.think)
	case "reasoning_effort":
		r.effort(v)
	default:
		return r.guide(name, v)
	}
	return nil
}

// guide drops members that do not change the form of the answer, and refuses the others: without
// them, the answer would lack something that the record asks for.
func (r *ollamaRequest) guide(name string, v value) error {
	switch name {
	case "continue_final_message", "add_generation_prompt", "add_special_tokens", "stream", "stream_options", "thinking_token_budget", "thinking_budget_tokens", "custom_params":
		// Ollama always continues a last message of the assistant, and has no thinking budget.
		return nil
	case "parallel_tool_calls":
		if v.kind() == 'f' {
			r.changes.Drop(name)
		}
		return nil
	case "n":
		if v.number() == 1 {
			return nil
		}
	}
	return r.other(name, v, "user")
}

// think writes the thinking switch. A model that cannot think refuses a request with the switch on;
// then the record is sent again without it (spareThink).
func (r *ollamaRequest) think(v value) {
	if r.spare&spareThink == 0 { // if both effort and switch are given, the first one counts
		r.rest.member("think", v)
		r.spare |= spareThink
	}
}

// effort maps reasoning_effort to Ollama's levels: low, medium, high and max.
func (r *ollamaRequest) effort(v value) {
	switch v.text() {
	case "none":
		v = value("false")
	case "minimal":
		v = value(`"low"`)
	case "xhigh":
		v = value(`"max"`)
	}
	r.think(v)
}

// format reads response_format.
func (r *ollamaRequest) format(v value) error {
	err := first(r.only("response_format", v, "type", "json_schema"),
		at("json_schema", r.only("response_format.json_schema", v.member("json_schema"), "name", "description", "schema", "strict")))
	if err != nil {
		return err
	}
	switch v.member("type").text() {
	case "text":
	case "json_object":
		r.rest.literal(`"format":"json"`)
	case "json_schema":
		schema := v.member("json_schema").member("schema")
		if schema.kind() != '{' {
			return at("json_schema", at("schema", wrong("Input should be a valid object")))
		}
		r.rest.member("format", schema)
	default:
		return at("type", r.lacks())
	}
	return nil
}

// messages writes the messages in Ollama's form.
func (r *ollamaRequest) messages(v value) error {
	r.rest.key("messages")
	r.rest.open('[')
	for i, m := range v.elements() {
		if err := r.message(m); err != nil {
			return at(i, err)
		}
	}
	r.rest.close(']')
	return nil
}

// message writes one message. In Ollama's form, all text of a message is one string, images are a
// separate list, and the arguments of a tool call are an object.
func (r *ollamaRequest) message(m value) error {
	if err := r.only("messages", m, "role", "content", "reasoning_content", "tool_calls", "tool_call_id", "refusal"); err != nil {
		return err
	}
	b := &r.rest
	b.open('{')
	role := m.member("role").text()
	if role == "developer" {
		role = "system"
	}
	b.textMember("role", role)
	if err := at("content", r.content(m.member("content"))); err != nil {
		return err
	}
	b.member("thinking", m.member("reasoning_content"))
	if calls := m.member("tool_calls"); calls.filled() {
		b.key("tool_calls")
		b.open('[')
		for i, c := range calls.elements() {
			if err := r.called(c); err != nil {
				return at("tool_calls", at(i, err))
			}
		}
		b.close(']')
	}
	if id := m.member("tool_call_id"); !id.absent() {
		b.member("tool_call_id", id)
		b.member("tool_name", r.names[id.text()])
	}
	b.close('}')
	return nil
}

// called writes a tool call of an earlier turn.
func (r *ollamaRequest) called(v value) error {
	c, err := r.call(v)
	if err != nil {
		return err
	}
	r.names[c.id.text()] = c.name
	b := &r.rest
	b.open('{')
	b.member("id", c.id)
	b.key("function")
	b.open('{')
	b.member("name", c.name)
	b.member("arguments", c.arguments)
	b.close('}')
	b.close('}')
	return nil
}

// content writes the content of a message: its text as one string, and its images as a list.
func (r *ollamaRequest) content(v value) error {
	switch v.kind() {
	case 'n':
		r.rest.literal(`"content":""`)
		return nil
	case '"':
		r.rest.member("content", v)
		return nil
	case '[':
	default:
		return wrong("Input should be a valid string or a list of parts")
	}
	var text value
	var images []value
	for i, p := range v.elements() {
		if err := r.only("messages.content", p, "type", "text", "refusal", "image_url", "input_audio", "video_url", "file"); err != nil {
			return at(i, err)
		}
		switch typ := p.member("type").text(); typ {
		case "text", "refusal":
			if text != nil {
				text = append(text[:len(text)-1], `\n"`...)
			}
			text = joined(text, p.member(typ))
		case "image_url":
			url, err := r.imageURL(p)
			if err != nil {
				return at(i, err)
			}
			_, data, ok := inlineData(url)
			if !ok {
				return at(i, at(typ, wrong("Ollama accepts only images that are in the request; send the image as a data: URL, or use a backend with the protocol openai")))
			}
			images = append(images, data)
		default:
			return at(i, at("type", wrong("Ollama takes texts and images, and no parts of type '%s'; use a backend with the protocol openai", shortened(typ, 60))))
		}
	}
	if text == nil {
		text = value(`""`)
	}
	r.rest.member("content", text)
	if len(images) > 0 {
		r.images += len(images)
		r.rest.key("images")
		r.rest.open('[')
		for _, data := range images {
			r.rest.raw(data)
			r.pixels += len(data)
		}
		r.rest.close(']')
	}
	return nil
}
