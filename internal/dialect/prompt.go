package dialect

import "bytes"

// Prompt is the text that a model reads, in reading order: tools, system prompt, turns. Records
// whose prompts have a common beginning share the model server's prefix cache. The parts are
// slices of the input.
type Prompt struct {
	Tools, System, Turns []byte
	MaxTokens            int64 // the body's limit of output tokens; 0: none
	Features             Features
	Fixed                bool // temperature 0 or a seed: the same body gives the same answer
}

// PromptOf finds the prompt of a body of any family. input must be valid JSON. If no prompt is
// found, the whole input is used.
func PromptOf(input []byte) Prompt {
	var p Prompt
	body := trim(input)
	eachMember(body, 0, func(name value, at int) (end int) {
		if string(name) == `"messages"` {
			end = p.Features.turns(body, at)
			p.Turns = body[at:end]
			return end
		}
		end = skip(body, at)
		p.member(name, body[at:end])
		return end
	})
	if p.Turns == nil { // no known member: the whole body is the prompt
		p.Turns = input
	}
	return p
}

// member reads one member of the body.
func (p *Prompt) member(name, v value) {
	switch string(name) {
	case `"tools"`, `"toolConfig"`:
		p.Tools = v
		p.Features.member(name, v)
	case `"system"`, `"preamble"`:
		p.System = v
	case `"prompt"`, `"inputText"`, `"message"`, `"texts"`:
		p.Turns = v
	case `"inputs"`:
		p.Turns = v
		p.Features.member(name, v)
	case `"max_tokens"`, `"max_completion_tokens"`, `"max_tokens_to_sample"`, `"max_gen_len"`:
		p.MaxTokens = tokenLimit(v)
	case `"temperature"`:
		p.Fixed = p.Fixed || v.kind() == '0' && v.number() == 0
	case `"seed"`:
		p.Fixed = p.Fixed || v.kind() == '0'
	case `"inferenceConfig"`, `"textGenerationConfig"`:
		p.nested(v)
	default:
		p.Features.member(name, v)
	}
}

// nested reads the configuration objects of Amazon's families.
func (p *Prompt) nested(v value) {
	for name, m := range v.fields() {
		switch string(name) {
		case `"maxTokens"`, `"max_new_tokens"`, `"maxTokenCount"`:
			p.MaxTokens = tokenLimit(m)
		case `"temperature"`:
			p.Fixed = p.Fixed || m.kind() == '0' && m.number() == 0
		}
	}
}

// Compare sorts prompts so that those with a common beginning are neighbours.
func (p *Prompt) Compare(q *Prompt) int {
	if c := bytes.Compare(p.Tools, q.Tools); c != 0 {
		return c
	}
	if c := bytes.Compare(p.System, q.System); c != 0 {
		return c
	}
	return bytes.Compare(p.Turns, q.Turns)
}

// Shared returns the length of the common beginning of two prompts in bytes.
func (p *Prompt) Shared(q *Prompt) int {
	n := 0
	for _, part := range [...][2][]byte{{p.Tools, q.Tools}, {p.System, q.System}, {p.Turns, q.Turns}} {
		same := common(part[0], part[1])
		n += same
		if same < max(len(part[0]), len(part[1])) {
			break
		}
	}
	return n
}

// Beginning returns a copy of the first n bytes of a prompt, split into the same parts.
func (p *Prompt) Beginning(n int) Prompt {
	part := func(b []byte) []byte {
		b = b[:min(n, len(b))]
		n -= len(b)
		return bytes.Clone(b)
	}
	return Prompt{Tools: part(p.Tools), System: part(p.System), Turns: part(p.Turns)}
}

// Len returns the length of the prompt in bytes.
func (p *Prompt) Len() int { return len(p.Tools) + len(p.System) + len(p.Turns) }

// common counts the equal bytes at the beginning of a and b, 64 at a time.
func common(a, b []byte) int {
	const stretch = 64
	n, most := 0, min(len(a), len(b))
	for n+stretch <= most && bytes.Equal(a[n:n+stretch], b[n:n+stretch]) {
		n += stretch
	}
	for n < most && a[n] == b[n] {
		n++
	}
	return n
}
