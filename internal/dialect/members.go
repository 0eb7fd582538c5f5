package dialect

import (
	"bytes"
	"slices"
	"strings"

	"github.com/batholith/batholith"
)

// The members that the bodies of each family may have stand in tables, one for each object of a body: members_anthropic.go and its like. The
// translation reads bodies by these tables, so that a member that is in no table cannot get lost: it is refused by name, or passed on where
// the object is open. docs/compatibility.md is generated from the same tables, and a law sends each member of each table.

// Fate is what becomes of a member of a body.
type Fate string

// The fates.
const (
	FateTaken   Fate = "taken"   // the model server is told, in its own words
	FateMapped  Fate = "mapped"  // the server gets something that means nearly the same; the manifest counts it
	FateChecked Fate = "checked" // it says how the body is to be read, and no other value than the known ones is taken
	FateIgnored Fate = "ignored" // the server is not told; the manifest counts it
	FateRefused Fate = "refused" // it is the record's error
)

// rule is what becomes of one member.
type rule struct {
	fate  Fate
	to    string                           // the server's parameter that it is; "": the family's code takes it
	check func(name string, v value) error // nil: any value
	note  string                           // of a refusal: the message; else what the documentation says
	name  string                           // of the member
	path  string                           // the name under which the manifest counts it
}

// rules are those of one object, by the names of its members.
type rules map[string]*rule

// taken is a member that the family's code takes.
func taken() *rule { return &rule{fate: FateTaken} }

// sent is a member that is a parameter of the server's, under the server's name.
func sent(to string, check func(string, value) error) *rule {
	return &rule{fate: FateTaken, to: to, check: check}
}

func mapped(note string) *rule  { return &rule{fate: FateMapped, note: note} }
func checked(note string) *rule { return &rule{fate: FateChecked, note: note} }
func ignored(note string) *rule { return &rule{fate: FateIgnored, note: note} }

// refused is a member that is not served, with the cause and what to do about it.
func refused(why string) *rule { return &rule{fate: FateRefused, note: why} }

// checking adds a check of the value.
func (r *rule) checking(check func(string, value) error) *rule {
	r.check = check
	return r
}

// rest is what becomes of members that are in no table.
type rest int

const (
	refuseRest rest = iota // "Extra inputs are not permitted"
	passKnown              // those that servers have beside OpenAI's own are passed on, others are refused
	passRest               // they are passed on as they are
)

// object is one object of a family's bodies.
type members struct {
	path  string // where it stands, without positions; of a tagged union with the tag: "messages.content(document).source"
	rest  rest
	rules rules
}

// membersAt completes the rules of an object.
func membersAt(path string, rest rest, rules rules) *members {
	for name, r := range rules {
		r.name, r.path = name, nameOf(path, name)
	}
	return &members{path, rest, rules}
}

// nameOf is the name under which the manifest counts a member: its path without tags.
func nameOf(path, name string) string {
	var b strings.Builder
	for path != "" {
		open := strings.IndexByte(path, '(')
		if open < 0 {
			b.WriteString(path)
			break
		}
		b.WriteString(path[:open])
		path = path[open+strings.IndexByte(path[open:], ')')+1:]
	}
	if b.Len() > 0 {
		b.WriteByte('.')
	}
	return b.String() + name
}

// rule finds the rule of a member by its name as it is written; nil when there is none.
func (o *members) rule(name value) *rule {
	if len(name) < len(`""`) {
		return nil
	}
	inner := name[1 : len(name)-1]
	if r := o.rules[string(inner)]; r != nil || bytes.IndexByte(inner, '\\') < 0 {
		return r
	}
	return o.rules[name.text()]
}

// read visits the members of v that are set, in their order, and stops at the first error. Members that the table leaves to the family's code
// go to take, those of no table to other. Clients write null for what they leave out.
func (o *members) read(changes *batholith.Changes, v value, take func(r *rule, v value) error, other func(name string, v value) error) error {
	for name, m := range v.fields() {
		if m.absent() {
			continue
		}
		r := o.rule(name)
		if r == nil {
			if err := other(name.text(), m); err != nil {
				return err
			}
			continue
		}
		var err error
		if r.check != nil {
			err = r.check(r.name, m)
		}
		switch {
		case err != nil:
		case r.fate == FateRefused:
			err = at(r.name, wrong("%s", r.note))
		case r.fate == FateIgnored:
			if m.says() {
				changes.Drop(r.path)
			}
		case r.fate == FateMapped:
			if m.says() {
				changes.Map(r.path)
			}
			err = take(r, m)
		default:
			err = take(r, m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// says tells whether a member says more than its absence does.
func (v value) says() bool {
	switch string(v) {
	case "false", "[]", "{}", `""`:
		return false
	}
	return true
}

// noMore refuses members of no table.
func noMore(name string, v value) error {
	if strings.HasPrefix(name, guardrailPrefix) {
		return at(name, wrong(noGuardrails))
	}
	return extra(name)
}

// guardrailPrefix begins the names of the members by which a body of InvokeModel asks for a guardrail.
const guardrailPrefix = "amazon-bedrock-guardrail"

// noGuardrails: an answer that nobody looked at is worse than none.
const noGuardrails = "there are no guardrails here to apply; leave it out"

// read reads an object of a chat: parameters are set, the rest is the family's.
func (c *chat) read(o *members, v value, take func(name string, v value) error) error {
	return o.read(&c.changes, v, func(r *rule, v value) error {
		if r.to != "" {
			c.set(r.to, v)
			return nil
		}
		if take == nil {
			return nil
		}
		return take(r.name, v)
	}, func(name string, v value) error {
		switch {
		case strings.HasPrefix(name, guardrailPrefix):
			return noMore(name, v)
		case o.rest == passRest, o.rest == passKnown && extensions[name]:
			c.set(name, v)
			return nil
		}
		return extra(name)
	})
}

// readObject is read for a value that must be an object.
func (c *chat) readObject(o *members, v value, take func(name string, v value) error) error {
	if v.kind() != '{' {
		return wrong("Input should be an object")
	}
	return c.read(o, v, take)
}

// count is the check for a whole number of at least min.
func count(min int64) func(string, value) error {
	return func(name string, v value) error { return wantCount(name, v, min) }
}

// number is the check for a number from min to max.
func number(min, max float64) func(string, value) error {
	return func(name string, v value) error { return wantNumber(name, v, min, max) }
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

// tables are the objects of each family's bodies, outermost first.
var tables = []struct {
	family  string
	objects []*members
}{
	{"anthropic", anthropicObjects},
	{"anthropic (text)", []*members{claudeTextBody}},
	{"converse", converseObjects},
	{"nova", novaObjects},
	{"titan-text", titanTextObjects},
	{"titan-embed", titanEmbedObjects},
	{"nova-embed", novaEmbedObjects},
	{"llama", []*members{llamaBody}},
	{"mistral", []*members{mistralBody}},
	{"mistral (chat)", mistralChatObjects},
	{"deepseek-r1", []*members{deepSeekBody}},
	{"cohere", cohereObjects},
	{"cohere-embed", cohereEmbedObjects},
	{"openai", openaiObjects},
}

// names are those of the members with a fate, in order.
func (o *members) names(f Fate) []string {
	var names []string
	for name, r := range o.rules {
		if r.fate == f {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
