package dialect

import (
	"net/http"
	"slices"
	"strings"

	"github.com/batholith/batholith"
)

// Spare members are parts of a request that some servers refuse, and that the record can do
// without or that can be written in another form. If a server refuses one, the request is sent
// again without it, or with the other form.
const (
	spareEncoding   batholith.Spare = 1 << iota // encoding_format: left out; servers use the same value by default
	spareDimensions                             // dimensions: left out; the answer is checked, so it must have this size by default
	spareContinue                               // continue_final_message and add_generation_prompt, sent if the last message is the beginning of the answer: left out
	spareThinking                               // chat_template_kwargs, if the record does not ask for thinking: left out
	spareThoughts                               // reasoning_content in messages, the model's thoughts in earlier turns: left out
	spareMarks                                  // add_special_tokens: left out
	spareLimit                                  // max_tokens: sent as max_completion_tokens, its name in other APIs
	spareMessages                               // messages of an embedding request, with an image: sent as input, in another server's form
	spareBudget                                 // limits of the thoughts' tokens: left out
	spareParts                                  // content that is a list of text parts: sent as one string
	spareUsage                                  // stream_options of a stream: left out; then the stream's tokens may not be known
	sparePriority                               // priority, added by WithPriority: left out

	// The others belong to requests of the Messages API, which are translated from other formats.
	spareHeat   // a temperature above 1: sent as 1, the largest that Claude takes
	spareTopP   // top_p beside a temperature: left out
	spareOff    // thinking, if it is switched off: left out
	spareEffort // output_config with an effort: left out
	spareSigned // thoughts in earlier turns, which have no signature of the server: left out

	// Of Ollama's requests.
	spareThink // think: left out where the model has no thoughts

	spareForm = spareLimit | spareParts // every chat request has these
)

// spares describes each spare member.
var spares = []spareMember{
	{spareEncoding, []string{"encoding_format"}, []string{"encoding_format"}, false, ""},
	{spareDimensions, []string{"dimensions"}, []string{"dimensions", "matryoshka", "embedding size", "output dimension"}, false, ""},
	{spareContinue, []string{"continue_final_message", "add_generation_prompt"}, []string{"continue_final_message", "add_generation_prompt"}, false, "continue_final_message"},
	{spareThinking, []string{"chat_template_kwargs"}, []string{"chat_template_kwargs", "enable_thinking"}, false, ""},
	{spareThoughts, nil, []string{"reasoning_content"}, false, "reasoning_content"},
	{spareMarks, []string{"add_special_tokens"}, []string{"add_special_tokens"}, false, "add_special_tokens"},
	{sparePriority, []string{"priority"}, []string{"priority"}, false, ""},
	{spareLimit, nil, []string{"max_completion_tokens"}, true, ""},
	{spareBudget, []string{"thinking_token_budget", "thinking_budget_tokens", "custom_params"}, []string{"thinking_token_budget", "thinking_budget", "custom_params", "custom_logit_processor"}, true, "thinking.budget_tokens"},
	{spareMessages, nil, []string{"field required", "missing field", "input is required", "missing input", "'input'", "`input`", "\"input\"", "no input"}, true, ""},
	{spareParts, nil, []string{"expected a string", "expected string", "content must be a string", "content should be a string", "content' must be a string", "invalid type: sequence",
		"content must be string", "only string content", "content is not a string", "value must be a string", "content: input should be a valid string"}, true, ""},
	{spareUsage, []string{"stream_options"}, []string{"stream_options", "include_usage"}, false, ""},
	{spareHeat, nil, []string{"temperature"}, true, "temperature"},
	{spareTopP, []string{"top_p"}, []string{"cannot both be specified"}, true, "top_p"},
	{spareOff, []string{"thinking"}, []string{"thinking"}, false, ""},
	{spareEffort, []string{"output_config"}, []string{"effort", "output_config"}, false, "reasoning_effort"},
	{spareThink, []string{"think"}, []string{"think"}, false, "thinking"},
	{spareSigned, nil, []string{"signature", "thinking"}, true, "reasoning_content"},
}

type spareMember struct {
	bit     batholith.Spare
	members []string // members of the request's outermost object to leave out
	words   []string // a refusal is about this member if it contains one of these, in any case,
	plain   bool     // and, if plain is false, one of refusing as well
	lost    string   // the name under which the manifest counts the member as dropped; "": nothing of the record is lost
}

// refusing has the words with which servers refuse a member: vLLM, OpenAI, Pydantic, Groq,
// Mistral, TEI, Python.
var refusing = []string{"not support", "unsupported", "not permitted", "not allowed", "unrecognized", "unknown", "unexpected", "extra ", "invalid", "not valid", "forbidden", "not available",
	"cannot be", "can't be", "no such", "not accept", "not recognized", "additional properties", "incompatible", "must not",
	"not enabled", "disabled"}

// Refused returns the spare members of a call that f, the server's refusal, is about, or 0 if
// it is about none of them. It reads the refusal's message, since servers report this error
// with many statuses.
func Refused(call batholith.Call, f *batholith.Failure) (refused batholith.Spare) {
	switch f.Status {
	// These statuses concern the key or the load, never a member of the body.
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		return 0
	case http.StatusServiceUnavailable:
		return call.Spare & refusedBySGLang(f)
	}
	if f.Status < 400 || call.Spare == 0 {
		return 0
	}
	// The words are compared in lower case.
	said := strings.ToLower(f.Message)
	holds := func(word string) bool { return strings.Contains(said, word) }
	for _, s := range spares {
		if call.Spare&s.bit != 0 && slices.ContainsFunc(s.words, holds) && (s.plain || slices.ContainsFunc(refusing, holds)) {
			refused |= s.bit
		}
	}
	if refused&^spareForm != 0 {
		return refused
	}
	without := Without(call, refused)
	if string(without.Body) == string(call.Body) { // no such member is in the body, so a retry would be refused again
		return 0
	}
	return refused
}

// refusedBySGLang returns sparePriority if f is SGLang's 503 for a priority: it was started with
// --abort-on-priority-when-disabled and without --enable-priority-scheduling.
func refusedBySGLang(f *batholith.Failure) batholith.Spare {
	if strings.Contains(strings.ToLower(f.Message), "using priority is disabled") {
		return sparePriority
	}
	return 0
}

// Without returns the call without the spare members in s, or with their other form. Bits of s
// that call.Spare does not have are ignored.
func Without(call batholith.Call, s batholith.Spare) batholith.Call {
	if s &= call.Spare; s == 0 {
		return call
	}
	call.Spare &^= s
	body := trim(call.Body)
	b := make(buffer, 0, len(body))
	b.open('{')
	for raw, v := range body.fields() {
		name := raw.text()
		switch {
		case slices.ContainsFunc(spares, func(o spareMember) bool { return s&o.bit != 0 && slices.Contains(o.members, name) }):
		case s&spareLimit != 0 && name == "max_tokens" && body.member("max_completion_tokens").absent():
			b.member("max_completion_tokens", v)
		case s&spareMessages != 0 && name == "messages":
			b.key("input")
			b.asObjects(v)
		case s&(spareThoughts|spareParts) != 0 && name == "messages":
			b.key(name)
			b.plainer(v, s)
		case s&spareHeat != 0 && name == "temperature":
			b.integerMember(name, 1)
		case s&spareSigned != 0 && name == "messages":
			b.key(name)
			b.withoutThoughts(v)
		default:
			b.field(raw, v)
		}
	}
	b.close('}')
	call.Body = b
	call.Changes.Dropped = slices.Clone(call.Changes.Dropped)
	for _, o := range spares {
		if s&o.bit != 0 && o.lost != "" {
			call.Changes.Drop(o.lost)
		}
	}
	return call
}

// plainer copies messages. If s has spareThoughts, it leaves reasoning_content out. If s has
// spareParts, it joins content of text parts to one string.
func (b *buffer) plainer(messages value, s batholith.Spare) {
	b.open('[')
	for _, m := range messages.elements() {
		b.open('{')
		for raw, v := range m.fields() {
			switch {
			case s&spareThoughts != 0 && raw.is("reasoning_content"):
				continue
			case s&spareParts != 0 && raw.is("content") && v.kind() == '[':
				v = oneText(v)
			}
			b.field(raw, v)
		}
		b.close('}')
	}
	b.close(']')
}

// oneText joins a list of text parts to one string, with a line break between parts, as vLLM
// does. If a part is not text, it returns the list unchanged.
func oneText(parts value) value {
	text := value(`"`)
	for i, p := range parts.elements() {
		t := p.member("text")
		if !p.member("type").is("text") || t.kind() != '"' {
			return parts
		}
		if i > 0 {
			text = append(text, `\n`...)
		}
		text = append(text, t[1:len(t)-1]...)
	}
	return append(text, '"')
}

// withoutThoughts copies messages without their blocks of thinking.
func (b *buffer) withoutThoughts(messages value) {
	b.open('[')
	for _, m := range messages.elements() {
		content := m.member("content")
		if content.kind() != '[' {
			b.raw(m)
			continue
		}
		b.open('{')
		b.member("role", m.member("role"))
		b.key("content")
		b.open('[')
		for _, c := range content.elements() {
			if !c.member("type").is("thinking") {
				b.raw(c)
			}
		}
		b.close(']')
		b.close('}')
	}
	b.close(']')
}
