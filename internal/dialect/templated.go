package dialect

import (
	"strings"
	"unicode/utf8"

	"github.com/batholith/batholith"
)

// templated translates bodies whose prompt already contains the model's chat template marks.
// The prompt goes to /completions unchanged. Minimal bodies and answers:
//
//	Llama        {"prompt":"<|begin_of_text|>…","max_gen_len":512}  {"generation":"Hi","prompt_token_count":8,…,"stop_reason":"stop"}
//	Mistral      {"prompt":"<s>[INST] Hello [/INST]","max_tokens":512}  {"outputs":[{"text":"Hi","stop_reason":"stop"}]}
//	DeepSeek-R1  {"prompt":"<｜begin▁of▁sentence｜>…","max_tokens":512}  {"choices":[{"text":"Hi","stop_reason":"stop"}]}
type templated struct {
	Options
	members  *members
	fallback string                        // output tokens if the body has no limit
	write    func(b *buffer, c completion) // writes the family's answer
	chunk    chunkForm                     // of its stream
	images   bool                          // the body may have images
}

// llama is Meta's family (Bedrock: Meta Llama; default of max_gen_len: 512).
func llama(o Options) translator {
	return templated{o, llamaBody, "512", writeLlama, llamaChunks, true}
}

// mistralText is Mistral's family (Bedrock: Mistral AI text completion; default of max_tokens:
// 512).
func mistralText(o Options) translator {
	return templated{o, mistralBody, "512", writeMistralText, textsChunks("outputs"), false}
}

// deepSeekR1 is DeepSeek's family (Bedrock: DeepSeek-R1; recommended maximum: 8192 tokens).
func deepSeekR1(o Options) translator {
	return templated{o, deepSeekBody, "8192", writeR1, textsChunks("choices"), false}
}

// request implements translator.
func (d templated) request(body value, model string) (batholith.Call, error) {
	if d.hasImages(body) {
		return d.withImages(body, model)
	}
	r, err := d.body(body, model)
	if err != nil {
		return batholith.Call{}, hintConverse(body, err)
	}
	return r.call(), nil
}

// body sets the default limit first: without a limit, servers stop after 16 tokens (OpenAI:
// completions, max_tokens).
func (d templated) body(body value, model string) (*completionRequest, error) {
	// The prompt must be written first, so it is looked up before the other members are read.
	prompt := body.member("prompt")
	if err := needString("prompt", prompt); err != nil {
		return nil, err
	}
	r := newCompletion(model, prompt)
	r.set("max_tokens", value(d.fallback))
	return r, r.read(d.members, body, nil)
}

// hasImages reports whether a body has images, and so goes to a chat.
func (d templated) hasImages(body value) bool {
	if !d.images {
		return false
	}
	for name, rest := range body.starts() {
		if name.is("images") {
			return rest[:skip(rest, 0)].filled()
		}
	}
	return false
}

// answer implements translator.
func (d templated) answer(input value, _ batholith.Call, body []byte) (batholith.Answer, error) {
	parse := parseText
	if d.hasImages(input) {
		parse = parseChat
	}
	c, err := parse(body)
	if err != nil {
		return batholith.Answer{}, err
	}
	b := make(buffer, 0, len(c.text)+128)
	d.write(&b, c)
	return batholith.Answer{Output: b, Tokens: c.tokens, Model: c.model.text()}, nil
}

// writeLlama writes token counts, which the other two families do not have.
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

// texts writes the text as a list with one entry, under the family's name for the list.
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

// stopOrLength returns the finish reason in the two words of these families.
func stopOrLength(c completion) string {
	if c.finish == endLength {
		return "length"
	}
	return "stop"
}

// completionRequest builds the body of an OpenAI /completions request.
type completionRequest struct{ chat }

// newCompletion starts a request. If the prompt begins with the mark that tokenizers add
// themselves, it tells the server not to add another.
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

// beginnings are the begin-of-text marks of Llama, Mistral, DeepSeek, Gemma and Cohere.
var beginnings = []string{"<|begin_of_text|>", "<s>", "<｜begin▁of▁sentence｜>", "<bos>", "<BOS_TOKEN>"}

// longestBeginning is how many characters of a prompt are searched for a mark.
const longestBeginning = 64

// beginning returns the first characters of a string. Encoders may have written them as
// escapes: \u003c for <, \uff5c for ｜.
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

// call finishes the request. r must not be used afterwards.
func (r *completionRequest) call() batholith.Call {
	serverTools := r.parameters()
	r.close('}')
	return batholith.Call{Path: completionsPath, Body: r.buffer, ServerTools: serverTools, Changes: r.changes, Spare: r.spare}
}
