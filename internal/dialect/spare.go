package dialect

import (
	"net/http"
	"slices"
	"strings"

	"github.com/batholith/batholith"
)

// Members of requests that a server may refuse and that a record can do without. Servers differ in what they take beside OpenAI's own parameters, and
// in the forms that they take it in.
const (
	spareEncoding   batholith.Spare = 1 << iota // encoding_format, whose value is what servers do anyway
	spareDimensions                             // dimensions: the model may make vectors of that size anyway; the answer is checked for it
	spareContinue                               // continue_final_message and add_generation_prompt, which go with an answer that is begun
	spareThinking                               // chat_template_kwargs, where the record says nothing of thinking
	spareThoughts                               // reasoning_content in messages: what the model thought in earlier turns
	spareMarks                                  // add_special_tokens
	spareLimit                                  // max_tokens, which is called max_completion_tokens elsewhere
	spareParts                                  // content in parts where all of it is text: some servers take one string only

	spareForm = spareLimit | spareParts // of every chat
)

// spares says of each what it is called in the request and in refusals, and what of the record is lost without it.
var spares = []spareMember{
	{spareEncoding, []string{"encoding_format"}, []string{"encoding_format"}, false, ""},
	{spareDimensions, []string{"dimensions"}, []string{"dimensions", "matryoshka", "embedding size", "output dimension"}, false, ""},
	{spareContinue, []string{"continue_final_message", "add_generation_prompt"}, []string{"continue_final_message", "add_generation_prompt"}, false, "continue_final_message"},
	{spareThinking, []string{"chat_template_kwargs"}, []string{"chat_template_kwargs", "enable_thinking"}, false, ""},
	{spareThoughts, nil, []string{"reasoning_content"}, false, "reasoning_content"},
	{spareMarks, []string{"add_special_tokens"}, []string{"add_special_tokens"}, false, "add_special_tokens"},
	{spareLimit, nil, []string{"max_completion_tokens"}, true, ""},
	{spareParts, nil, []string{"expected a string", "expected string", "content must be a string", "content should be a string", "content' must be a string", "invalid type: sequence",
		"content must be string", "only string content", "content is not a string", "value must be a string", "content: input should be a valid string"}, true, ""},
}

type spareMember struct {
	bit     batholith.Spare
	members []string // that are left out of the request
	words   []string // one of them is in the refusal, in lower case
	plain   bool     // the words alone tell that it is a refusal of this
	lost    string   // what the manifest counts as dropped
}

// refusing are words of servers for members that they do not know or do not take: vLLM, OpenAI, Pydantic, Groq, Mistral, TEI, Python.
var refusing = []string{"not support", "unsupported", "not permitted", "not allowed", "unrecognized", "unknown", "unexpected", "extra ", "invalid", "not valid", "forbidden", "not available",
	"cannot be", "can't be", "no such", "not accept", "not recognized", "additional properties", "incompatible", "must not"}

// Refused tells which spare members of a call a server's refusal is about; 0 when it is about none of them.
func Refused(call batholith.Call, f *batholith.Failure) (refused batholith.Spare) {
	switch f.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return 0
	}
	if f.Status < 400 || call.Spare == 0 {
		return 0
	}
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
	if string(without.Body) == string(call.Body) { // it has nothing of the kind
		return 0
	}
	return refused
}

// Without returns a call without some of its spare members. Those that it does not have stay as they are.
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
		case s&(spareThoughts|spareParts) != 0 && name == "messages":
			b.key(name)
			b.plainer(v, s)
		default:
			b.raw(raw)
			b.close(':')
			b.raw(v)
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

// plainer copies messages without thoughts, or with one string for content that is text in parts.
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
			b.raw(raw)
			b.close(':')
			b.raw(v)
		}
		b.close('}')
	}
	b.close(']')
}

// oneText is a list of parts as one string, a line break between two of them, as vLLM has it. A list with anything but text stays.
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
