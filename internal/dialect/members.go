package dialect

import (
	"bytes"
	"slices"
	"strings"

	"github.com/batholith/batholith"
)

// Tables in members_anthropic.go, members_converse.go and members_other.go list the members
// that each object of a request body may have. The translation reads bodies by these tables, so
// no member is lost without notice: a member that is in no table is refused by name, or is sent
// to the server unchanged where the table allows that. The tables in docs/compatibility.md are
// generated from these, and a test sends each member.

// Fate says what happens to a member of a body.
type Fate string

// The fates.
const (
	FateTaken   Fate = "taken"   // sent to the model server, translated to its protocol
	FateMapped  Fate = "mapped"  // sent as something with nearly the same meaning; the manifest counts it
	FateChecked Fate = "checked" // says how to read the body or how to write the answer; an unknown value is refused
	FateIgnored Fate = "ignored" // not sent; the manifest counts it
	FateRefused Fate = "refused" // the record ends with an error line that names the member
)

// rule says how one member is handled.
type rule struct {
	fate  Fate
	to    string                           // the name of the server's parameter that gets the value; "": the family's code handles the member
	check func(name string, v value) error // nil: any value is valid
	note  string                           // for a refused member the error message, otherwise a remark for the documentation
	name  string                           // of the member; set by membersAt
	path  string                           // the name under which the manifest counts the member; set by membersAt
}

// rules has the rules of one object, by the names of its members.
type rules map[string]*rule

// taken returns the rule of a member that the family's code handles.
func taken() *rule { return &rule{fate: FateTaken} }

// sent returns the rule of a member whose value becomes the server's parameter to, unchanged.
func sent(to string, check func(string, value) error) *rule {
	return &rule{fate: FateTaken, to: to, check: check}
}

// mapped returns the rule of a member that is sent as something with nearly the same meaning.
func mapped(note string) *rule { return &rule{fate: FateMapped, note: note} }

// checked returns the rule of a member that only controls how the body is read or the answer is
// written.
func checked(note string) *rule { return &rule{fate: FateChecked, note: note} }

// ignored returns the rule of a member that is not sent. note is the reason, for the
// documentation.
func ignored(note string) *rule { return &rule{fate: FateIgnored, note: note} }

// refused returns the rule of a member that is an error. why names the cause and the remedy.
func refused(why string) *rule { return &rule{fate: FateRefused, note: why} }

// checking sets the check of the member's value.
func (r *rule) checking(check func(string, value) error) *rule {
	r.check = check
	return r
}

// rest says how an object's members that are not in its table are handled.
type rest int

const (
	refuseRest rest = iota // refuse them: "Extra inputs are not permitted"
	passKnown              // send those in extensions unchanged, refuse the others
	passRest               // send them unchanged
)

// members is the table of one object in a family's bodies.
type members struct {
	path  string // of the object, without array positions; variants of an object have their tag in it: "messages.content(document).source"
	rest  rest
	rules rules
}

// membersAt makes the table of an object, and sets the name and path of each rule.
func membersAt(path string, rest rest, rules rules) *members {
	for name, r := range rules {
		r.name, r.path = name, nameOf(path, name)
	}
	return &members{path, rest, rules}
}

// nameOf returns the name under which the manifest counts a member: path and name, without the
// tags of variants.
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

// rule returns the rule of a member, or nil if it has none. name is the JSON string as it
// stands in the body, with quotes and escapes.
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

// read handles the members of v in their order and stops at the first error. It checks, refuses
// and counts them by their rules. It calls take for each member that is neither refused nor
// ignored, and other for each member that has no rule. Members that are null are skipped, since
// some clients write null for a member that they do not set.
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
		taken, err := r.admit(changes, m)
		if taken {
			err = take(r, m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// admit checks a member, and notes in changes if it is ignored or mapped. It reports whether
// the family's code takes the member.
func (r *rule) admit(changes *batholith.Changes, m value) (taken bool, err error) {
	if r.check != nil {
		err = r.check(r.name, m)
	}
	switch {
	case err != nil:
		return false, err
	case r.fate == FateRefused:
		return false, at(r.name, wrong("%s", r.note))
	case r.fate == FateIgnored:
		if m.says() {
			changes.Drop(r.path)
		}
		return false, nil
	case r.fate == FateMapped && m.says():
		changes.Map(r.path)
	}
	return true, nil
}

// says reports whether a value means more than a missing member. Empty and false values do not,
// so they are not counted as changes.
func (v value) says() bool {
	switch string(v) {
	case "false", "[]", "{}", `""`:
		return false
	}
	return v.member("enabled").kind() != 'f' // {"enabled":false}, such as Claude's citations
}

// noMore refuses a member that is in no table.
func noMore(name string, v value) error {
	if strings.HasPrefix(name, guardrailPrefix) {
		return at(name, wrong(noGuardrails))
	}
	return extra(name)
}

// guardrailPrefix begins the names of the members by which a body of InvokeModel asks for a
// guardrail.
const guardrailPrefix = "amazon-bedrock-guardrail"

// noGuardrails refuses a body that asks for a guardrail. Without the guardrail, an answer could
// contain what the guardrail should block.
const noGuardrails = "Batholith applies no guardrails; leave this member out"

// read reads an object of a chat body. It sets the server's parameters itself, and calls take,
// which may be nil, for members that the family's code handles.
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

// readObject is like read, but returns an error if v is not an object.
func (c *chat) readObject(o *members, v value, take func(name string, v value) error) error {
	if v.kind() != '{' {
		return wrong("Input should be an object")
	}
	return c.read(o, v, take)
}

// count returns a check for a whole number of at least min.
func count(min int64) func(string, value) error {
	return func(name string, v value) error { return wantCount(name, v, min) }
}

// number returns a check for a number from min to max.
func number(min, max float64) func(string, value) error {
	return func(name string, v value) error { return wantNumber(name, v, min, max) }
}

// extensions are parameters that are in no family's API, but that vLLM, SGLang or llama.cpp
// understand.
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

// tables has the tables of each family, with the whole body first and nested objects after it.
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

// names returns the sorted names of the members with fate f.
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
