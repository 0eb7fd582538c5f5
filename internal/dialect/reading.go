package dialect

import (
	"strings"

	"github.com/batholith/batholith"
)

// Reading is what a modelOutput says, in the words of no family.
type Reading struct {
	Text   string // the model's text; without one, its tool calls as JSON; of an unknown output, all of it
	Vector []byte // of an embedding, instead of Text: one JSON value; an array of numbers if the record asked for one vector
	Stop   string // why the answer ended, in the family's word; "": the output does not say
	Tokens batholith.Tokens
	Counts bool // the output has the token counts
}

// Read reads a modelOutput of any family or of Converse, by its members. The output must be valid JSON.
func Read(output []byte) (r Reading) {
	body := trim(output)
	r.Tokens, r.Counts = TokensIn(output)
	if body.kind() != '{' {
		r.Text = string(body)
		return r
	}
	r.stop(body, "stop_reason", "stopReason", "finish_reason")
	if r.Vector = vectorOf(body); r.Vector != nil {
		return r
	}
	var said, calls value
	switch {
	case body.member("output").kind() == '{': // Converse, Nova
		said = body.member("output").member("message").member("content")
		calls = said
	case body.member("output").kind() == '[': // OpenAI's Responses
		calls = body.member("output")
		for _, item := range calls.elements() {
			r.Text += textIn(item.member("content"))
		}
	case !body.member("content").absent(): // Anthropic
		said = body.member("content")
		calls = said
	case !body.member("choices").absent(): // OpenAI, and those who do as it does
		choice := body.member("choices").leading()
		r.stop(choice, "finish_reason", "stop_reason")
		if said = choice.member("text"); said.absent() {
			said = choice.member("message").member("content")
		}
		calls = choice.member("message").member("tool_calls")
	case !body.member("results").absent(): // Titan Text
		result := body.member("results").leading()
		r.stop(result, "completionReason")
		said = result.member("outputText")
	case !body.member("outputs").absent(): // Mistral
		result := body.member("outputs").leading()
		r.stop(result, "stop_reason")
		said = result.member("text")
	case !body.member("generation").absent(): // Llama
		said = body.member("generation")
	case !body.member("completion").absent(): // Anthropic's text completions
		said = body.member("completion")
	case !body.member("text").absent(): // Cohere
		said, calls = body.member("text"), body.member("tool_calls")
	default:
		r.Text = string(body)
		return r
	}
	r.Text += textIn(said)
	if strings.TrimSpace(r.Text) == "" && calls.filled() && calls.len() > 0 {
		r.Text = string(calls)
	}
	return r
}

// stop reads the reason of the end from the first of the members that has one.
func (r *Reading) stop(v value, names ...string) {
	for _, name := range names {
		if m := v.member(name); r.Stop == "" && m.kind() == '"' {
			r.Stop = m.text()
		}
	}
}

// textIn returns a text, or the joined texts of a list of blocks. Blocks of thoughts and of tool calls have none.
func textIn(v value) string {
	switch v.kind() {
	case '"':
		return v.text()
	case '[':
		var all strings.Builder
		for _, block := range v.elements() {
			if text := block.member("text"); text.kind() == '"' {
				all.WriteString(text.text())
			}
		}
		return all.String()
	}
	return ""
}

// vectorOf returns the vector of an embedding, or all of them if there are several; nil: the output has none.
func vectorOf(body value) value {
	if v := body.member("embedding"); v.kind() == '[' { // Titan
		return v
	}
	v := body.member("embeddings") // Nova, Cohere
	if v.absent() && body.member("object").is("list") {
		v = body.member("data") // OpenAI
	}
	if v.absent() {
		v = body.member("embeddingsByType") // Titan with other types only
	}
	if v.kind() != '[' {
		if v.absent() {
			return nil
		}
		return v
	}
	if v.len() != 1 {
		return v
	}
	one := v.leading()
	if e := one.member("embedding"); e.kind() == '[' {
		return e
	}
	return one
}

// leading returns the first element of an array, or nothing.
func (v value) leading() value {
	for _, e := range v.elements() {
		return e
	}
	return nil
}
