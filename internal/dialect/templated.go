package dialect

import (
	"strings"
	"unicode/utf8"

	"github.com/batholith/batholith"
)

// templated takes bodies whose prompt bears the model's own marks already. It goes to /completions word for word.
type templated struct {
	Options
	members  *members
	fallback string // how long an answer may be without a limit, in tokens
	write    func(b *buffer, c completion)
}

// llama is Meta's (Bedrock: Meta Llama; max_gen_len is 512 unless given).
func llama(o Options) translator { return templated{o, llamaBody, "512", writeLlama} }

// mistralText is Mistral's (Bedrock: Mistral AI text completion; max_tokens is 512 unless given).
func mistralText(o Options) translator { return templated{o, mistralBody, "512", writeMistralText} }

// deepSeekR1 is DeepSeek's (Bedrock: DeepSeek-R1, which advises to ask for 8192 tokens at most).
func deepSeekR1(o Options) translator { return templated{o, deepSeekBody, "8192", writeR1} }

func (d templated) request(body value, model string) (batholith.Call, error) {
	r, err := d.body(body, model)
	if err != nil {
		return batholith.Call{}, hintConverse(body, err)
	}
	return r.call(), nil
}

// body sets the limit first: without one, servers stop after 16 tokens (OpenAI: completions, max_tokens).
func (d templated) body(body value, model string) (*completionRequest, error) {
	prompt := body.member("prompt")
	if err := needString("prompt", prompt); err != nil {
		return nil, err
	}
	r := newCompletion(model, prompt)
	r.set("max_tokens", value(d.fallback))
	return r, r.read(d.members, body, nil)
}

func (d templated) answer(input value, call batholith.Call, body []byte) (batholith.Answer, error) {
	c, err := parseText(body)
	if err != nil {
		return batholith.Answer{}, err
	}
	b := make(buffer, 0, len(c.text)+128)
	d.write(&b, c)
	return batholith.Answer{Output: b, Tokens: c.tokens, Model: c.model.text()}, nil
}

// writeLlama has the counts that the other families with a templated prompt leave out.
func writeLlama(b *buffer, c completion) {
	b.open('{')
	b.member("generation", c.text)
	b.integerMember("prompt_token_count", c.tokens.Input)
	b.integerMember("generation_token_count", c.tokens.Output)
	b.textMember("stop_reason", stopOrLength(c))
	b.close('}')
}

func writeMistralText(b *buffer, c completion) { b.texts("outputs", c) }

func writeR1(b *buffer, c completion) { b.texts("choices", c) }

// texts writes the one text as a list, under the family's name for it.
func (b *buffer) texts(name string, c completion) {
	b.open('{')
	b.key(name)
	b.open('[')
	b.open('{')
	b.member("text", c.text)
	b.textMember("stop_reason", stopOrLength(c))
	b.close('}')
	b.close(']')
	b.close('}')
}

// stopOrLength is the reason in the two words that these families have.
func stopOrLength(c completion) string {
	if c.finish == endLength {
		return "length"
	}
	return "stop"
}

// completionRequest is the body of an OpenAI /completions request in the making.
type completionRequest struct{ chat }

// newCompletion begins a request. Where the prompt begins with the mark that tokenizers add by themselves, they are told not
// to, or the model would see it twice.
func newCompletion(model string, prompt value) *completionRequest {
	r := &completionRequest{chat{buffer: make(buffer, 0, len(prompt)+256)}}
	r.open('{')
	r.textMember("model", model)
	r.member("prompt", prompt)
	start := strings.TrimLeft(prompt.beginning(longestBeginning), " \t\r\n")
	for _, mark := range beginnings {
		if strings.HasPrefix(start, mark) {
			r.set("add_special_tokens", value("false"))
			r.spare |= spareMarks
		}
	}
	return r
}

// beginnings are the marks of the beginning of a text, as Llama, Mistral, DeepSeek, Gemma, and Cohere have them.
var beginnings = []string{"<|begin_of_text|>", "<s>", "<｜begin▁of▁sentence｜>", "<bos>", "<BOS_TOKEN>"}

// longestBeginning bounds, in characters, how much of a prompt is looked at for a mark and the white space before it.
const longestBeginning = 64

// beginning is the first characters of a string, which encoders may have written as escapes: \u003c for <, \uff5c for ｜.
func (v value) beginning(characters int) string {
	end, n := 1, 0
	for ; end < len(v)-1 && n < characters; n++ {
		switch {
		case v[end] != '\\':
			_, size := utf8.DecodeRune(v[end:])
			end += size
		case v[end+1] == 'u':
			end += len(`\u0000`)
		default:
			end += len(`\n`)
		}
	}
	return value(string(v[:min(end, len(v)-1)]) + `"`).text()
}

// call ends the request. Nothing may be written afterwards.
func (r *completionRequest) call() batholith.Call {
	serverTools := r.parameters()
	r.close('}')
	return batholith.Call{Path: completionsPath, Body: r.buffer, ServerTools: serverTools, Changes: r.changes, Spare: r.spare}
}
