package dialect

import (
	"github.com/batholith/batholith"
)

// messagesRequest builds a request of the Messages API from one of /chat/completions.
type messagesRequest struct {
	b        buffer // the messages, without the brackets around them
	rest     buffer // the other members, without the braces
	messages value
	system   []value        // texts of the system prompt
	texts    []value        // documents, as texts
	turn     string         // role of the message that is being written; "": none
	blocks   []messageBlock // of this message

	limit, heat   value // max_tokens, temperature
	likely        bool  // top_p is given
	thinks        value // true, false, or absent: not said
	effort        value
	budget        value // of thinking, in tokens
	format        value // JSON Schema of the answer
	tools, choice value // in the form of the Messages API
	apart         bool  // no parallel tool calls

	narrow
}

const (
	// defaultLimit is the limit of output tokens if the body has none, which the Messages API
	// requires. Every Claude model accepts it.
	defaultLimit = 4096
	// leastThinking is the smallest budget of thinking in tokens (Anthropic: extended thinking).
	leastThinking = 1024
)

// request implements leg.
func (anthropicLeg) request(hub batholith.Call) (batholith.Call, error) {
	body := trim(hub.Body)
	r := messagesRequest{b: newBuffer(len(body) + 256), narrow: newNarrow("the Messages API", hub.Changes)}
	defer func() { Discard(batholith.Call{Body: r.b}) }()
	model := value(`""`)
	for raw, v := range body.fields() {
		name := raw.text()
		if name == "model" {
			model = v
			continue
		}
		if v.absent() {
			continue
		}
		if err := at(name, r.member(name, v)); err != nil {
			return batholith.Call{}, err
		}
	}
	if err := r.conversation(); err != nil {
		return batholith.Call{}, err
	}
	r.settings()
	b := make(buffer, 0, len(r.b)+len(r.rest)+len(model)+64)
	b.open('{')
	b.member("model", model)
	if len(r.rest) > 0 {
		b.raw(r.rest)
	}
	b.key("messages")
	b.open('[')
	b = append(b, r.b...)
	b.close(']')
	b.close('}')
	return batholith.Call{Path: messagesPath, Body: b, ServerTools: hub.ServerTools, Changes: r.changes, Spare: r.spare}, nil
}

// member reads one member of the request. Errors are relative to it.
func (r *messagesRequest) member(name string, v value) error {
	switch name {
	case "messages":
		r.messages = v
	case "max_tokens", "max_completion_tokens":
		r.limit = v
	case "temperature":
		r.heat = v
	case "top_p":
		r.likely = true
		r.rest.member(name, v)
	case "top_k":
		if n, ok := v.integer(); ok && n > 0 { // vLLM: -1 and 0 mean all
			r.rest.member(name, v)
		}
	case "stop":
		r.rest.member("stop_sequences", stops(v))
	case "tools":
		return r.definitions(v)
	case "tool_choice":
		return r.chosen(v)
	case "parallel_tool_calls":
		r.apart = v.kind() == 'f'
	case "chat_template_kwargs":
		return r.template(v, func(on value) { r.thinks = on })
	case "reasoning_effort":
		r.effort = v
	case "thinking_token_budget":
		r.budget = v
	case "thinking_budget_tokens", "custom_params": // the budget, for other servers
		if r.only("", v, "thinking_budget") != nil {
			return r.lacks()
		}
	case "response_format":
		return r.formatted(v)
	case "documents":
		r.documents(v)
	case "user":
		r.changes.Map(name)
		var b buffer
		b.open('{')
		b.member("user_id", v)
		b.close('}')
		r.rest.member("metadata", value(b))
	case "continue_final_message", "add_generation_prompt", "add_special_tokens", "stream", "stream_options":
		// The Messages API continues the last message if it is the assistant's.
	default:
		return r.guide(name, v)
	}
	return nil
}

// guide drops members that only guide the choice of words, and refuses those whose absence the
// answer would show.
func (r *messagesRequest) guide(name string, v value) error {
	switch name {
	case "frequency_penalty", "presence_penalty", "min_p":
		if v.number() == 0 {
			return nil
		}
	case "repetition_penalty", "n":
		if v.number() == 1 {
			return nil
		}
	}
	return r.other(name, v, "seed", "frequency_penalty", "presence_penalty", "min_p", "repetition_penalty")
}

// formatted reads response_format.
func (r *messagesRequest) formatted(v value) error {
	if err := r.only("response_format", v, "type", "json_schema"); err != nil {
		return err
	}
	switch typ := v.member("type").text(); typ {
	case "text":
	case "json_schema":
		schema := v.member("json_schema").member("schema")
		err := r.only("response_format.json_schema", v.member("json_schema"), "name", "description", "schema", "strict")
		if err := first(err, needObject("schema", schema)); err != nil {
			return at("json_schema", err)
		}
		r.format = schema
	default:
		return at("type", wrong("the Messages API knows json_schema, and not '%s'; give a schema, or use a backend with the protocol openai", typ))
	}
	return nil
}

// definitions reads tools.
func (r *messagesRequest) definitions(v value) error {
	if !v.filled() {
		return nil
	}
	var b buffer
	b.open('[')
	for i, t := range v.elements() {
		f := t.member("function")
		if typ := t.member("type"); f.kind() != '{' || !typ.absent() && !typ.is("function") {
			return at(i, at("type", r.lacks()))
		}
		err := first(r.only("tools", t, "type", "function"), at("function", r.only("tools.function", f, "name", "description", "parameters", "strict")))
		if err != nil {
			return at(i, err)
		}
		b.open('{')
		b.member("name", f.member("name"))
		b.member("description", f.member("description"))
		schema := f.member("parameters")
		if schema.absent() {
			schema = value(`{"type":"object","properties":{}}`)
		}
		b.member("input_schema", schema)
		if strict := f.member("strict"); strict.isTrue() {
			b.member("strict", strict)
		}
		b.close('}')
	}
	b.close(']')
	r.tools = value(b)
	return nil
}

// chosen reads tool_choice.
func (r *messagesRequest) chosen(v value) error {
	name := v.member("function").member("name")
	if err := first(r.only("tool_choice", v, "type", "function"), at("function", r.only("tool_choice.function", v.member("function"), "name"))); err != nil {
		return err
	}
	switch {
	case v.is("auto"), v.is("none"):
		r.choice = value(`{"type":` + string(v) + `}`)
	case v.is("required"):
		r.choice = value(`{"type":"any"}`)
	case name.kind() == '"':
		r.choice = value(`{"type":"tool","name":` + string(name) + `}`)
	default:
		return r.lacks()
	}
	return nil
}

// settings writes the members that depend on each other, after all have been read.
func (r *messagesRequest) settings() {
	limit, ok := r.limit.integer()
	if r.limit.absent() {
		limit, ok = defaultLimit, true
		r.rest.integerMember("max_tokens", limit)
	} else {
		r.rest.member("max_tokens", r.limit)
	}
	if !r.heat.absent() {
		r.rest.member("temperature", r.heat)
		if r.heat.number() > 1 {
			r.spare |= spareHeat
		}
		if r.likely {
			r.spare |= spareTopP
		}
	}
	switch {
	case r.thinks.kind() == 'f', r.effort.is("none"):
		r.rest.literal(`"thinking":{"type":"disabled"}`)
		r.spare |= spareOff
	case r.thinks.isTrue() && ok && limit > leastThinking:
		// Without a budget, the other half of the limit is for the answer.
		r.rest.key("thinking")
		r.rest.literal(`{"type":"enabled"`)
		if !r.budget.absent() {
			r.rest.member("budget_tokens", r.budget)
		} else {
			r.rest.integerMember("budget_tokens", max(leastThinking, limit/2))
		}
		r.rest.close('}')
	case r.thinks.isTrue():
		r.changes.Drop("thinking")
	}
	r.config()
	r.rest.member("tools", r.tools)
	if r.tools.absent() || r.choice.absent() && !r.apart {
		return
	}
	choice := r.choice
	if choice.absent() {
		choice = value(`{"type":"auto"}`)
	}
	if r.apart && !choice.member("type").is("none") {
		choice = value(string(choice[:len(choice)-1]) + `,"disable_parallel_tool_use":true}`)
	}
	r.rest.member("tool_choice", choice)
}

// config writes output_config: the format of the answer, and the effort.
func (r *messagesRequest) config() {
	effort := r.effort
	if effort.is("none") {
		effort = nil
	}
	if r.format.absent() && effort.absent() {
		return
	}
	r.rest.key("output_config")
	r.rest.open('{')
	if !effort.absent() {
		r.rest.member("effort", effort)
		if r.format.absent() {
			r.spare |= spareEffort
		}
	}
	if !r.format.absent() {
		r.rest.key("format")
		r.rest.literal(`{"type":"json_schema"`)
		r.rest.member("schema", r.format)
		r.rest.close('}')
	}
	r.rest.close('}')
}
