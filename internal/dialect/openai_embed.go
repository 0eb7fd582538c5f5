package dialect

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"

	"github.com/batholith/batholith"
)

// openAIEmbed translates OpenAI's embeddings, for models of any family that makes vectors. A minimal body and its answer:
//
//	{"model":"…","input":"a"}
//	{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1,…]}],"model":"…","usage":{"prompt_tokens":1,"total_tokens":1}}
//
// The server is always asked for numbers, and base64 is made here: servers with another protocol have no base64.
type openAIEmbed struct{ Options }

// embeddable checks an input: a text, a list of texts, the tokens of a text, or a list of those.
func embeddable(name string, v value) error {
	switch {
	case v.kind() == '"' && len(v) > len(`""`):
		return nil
	case v.kind() == '"':
		return at(name, wrong("Input should not be empty"))
	case v.kind() != '[':
		return at(name, wrong("Input should be a string, a list of strings, or lists of tokens"))
	case !v.filled():
		return at(name, wrong("at least one text is required"))
	}
	kind := v.leading().kind()
	if kind != '"' && kind != '0' && kind != '[' {
		return at(name, wrong("Input should be a string, a list of strings, or lists of tokens"))
	}
	for i, e := range v.elements() {
		if e.kind() != kind {
			return at(name, at(i, wrong("all elements should be of one kind")))
		}
	}
	return nil
}

// embedsTexts returns the number of vectors that an input asks for.
func embedsTexts(input value) int {
	if input.kind() != '[' || input.leading().kind() == '0' {
		return 1
	}
	return input.len()
}

// readOpenAIEmbed reads a body.
func (d openAIEmbed) read(body value, backend string) (input, dimensions value, base64 bool, changes batholith.Changes, err error) {
	err = openaiEmbedBody.read(&changes, body, func(r *rule, v value) error {
		switch r.name {
		case "model":
			if backend == "" { // the body was accepted before
				return nil
			}
			return openai{Options: d.Options}.model(v, backend)
		case "input":
			input = v
		case "dimensions":
			dimensions = v
		case "encoding_format":
			if base64 = v.is("base64"); !base64 && !v.is("float") {
				return at(r.name, wrong("Input should be 'float' or 'base64'"))
			}
		}
		return nil
	}, noMore)
	if err == nil && input.absent() {
		err = required("input")
	}
	return input, dimensions, base64, changes, err
}

// request implements translator.
func (d openAIEmbed) request(body value, model string) (batholith.Call, error) {
	input, dimensions, _, changes, err := d.read(body, model)
	if err != nil {
		return batholith.Call{}, err
	}
	return embeddingsCall(model, input, dimensions, changes), nil
}

// answer implements translator.
func (d openAIEmbed) answer(body value, call batholith.Call, answer []byte) (batholith.Answer, error) {
	input, dimensions, inBase64, _, err := d.read(body, "")
	if err != nil {
		return batholith.Answer{}, err
	}
	vectors, a, err := parseEmbeddings(answer, embedsTexts(input))
	if err != nil {
		return batholith.Answer{}, err
	}
	b := make(buffer, 0, len(answer)+128)
	b.open('{')
	b.textMember("object", "list")
	b.key("data")
	b.open('[')
	for i, v := range vectors {
		if err := v.sized("dimensions", dimensions); err != nil {
			return batholith.Answer{}, err
		}
		b.open('{')
		b.textMember("object", "embedding")
		b.integerMember("index", int64(i))
		if inBase64 {
			b.textMember("embedding", v.base64())
		} else {
			b.member("embedding", v.raw)
		}
		b.close('}')
	}
	b.close(']')
	b.textMember("model", d.shown(a.Model))
	b.key("usage")
	b.open('{')
	b.integerMember("prompt_tokens", a.Tokens.Input)
	b.integerMember("total_tokens", a.Tokens.Input)
	b.close('}')
	b.close('}')
	a.Output = b
	return a, nil
}

// base64 returns the numbers as OpenAI writes them: 32-bit floats, the lowest byte first.
func (v vector) base64() string {
	b := make([]byte, 0, 4*len(v.numbers))
	for _, f := range v.numbers {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(f)))
	}
	return base64.StdEncoding.EncodeToString(b)
}

// openAIText translates OpenAI's completions: the text after a prompt. The body is sent almost unchanged. A minimal body:
//
//	{"model":"…","prompt":"Once upon a time"}
type openAIText struct{ Options }

// request implements translator. A list of prompts is refused: each record has one.
func (d openAIText) request(body value, model string) (batholith.Call, error) {
	var changes batholith.Changes
	b := newBuffer(len(body) + len(model) + 32)
	b.open('{')
	b.textMember("model", model)
	prompt := false
	err := openaiTextBody.read(&changes, body, func(r *rule, v value) error {
		switch r.name {
		case "model":
			return openai{Options: d.Options}.model(v, model)
		case "stream":
			if v.kind() != 'f' {
				return at(r.name, wrong("a batch record cannot be streamed; leave it out or give false"))
			}
		case "prompt":
			prompt = true
			b.member(r.name, v)
		}
		return nil
	}, func(name string, v value) error {
		b.anyKey(name)
		b.raw(v)
		return nil
	})
	switch {
	case err != nil:
		return batholith.Call{}, err
	case !prompt:
		return batholith.Call{}, required("prompt")
	}
	b.close('}')
	return batholith.Call{Path: completionsPath, Body: b, Changes: changes}, nil
}

// answer implements translator.
func (d openAIText) answer(_ value, _ batholith.Call, body []byte) (batholith.Answer, error) {
	c, err := parseText(body)
	if err != nil {
		return batholith.Answer{}, err
	}
	doc, err := answerObject(body)
	if err != nil {
		return batholith.Answer{}, err
	}
	return batholith.Answer{Output: slices.Clone(renamed(doc, d.shown(c.model.text()))), Tokens: c.tokens, Model: c.model.text()}, nil
}
