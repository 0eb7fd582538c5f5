package dialect

import (
	"strconv"

	"github.com/batholith/batholith"
)

// answer implements leg.
func (l ollamaLeg) answer(call batholith.Call, body []byte) ([]byte, error) {
	doc, err := answerObject(body)
	if err != nil {
		return nil, err
	}
	switch vectors := doc.member("embeddings"); {
	case vectors != nil:
		return vectorsAnswer(doc.member("model"), vectors, ollamaTokens(doc).Input)
	case doc.member("response") != nil:
		return l.generated(doc)
	}
	h, err := ollamaChat(doc)
	if err != nil {
		return nil, err
	}
	if h.finish == endStop && wantsFormat(call) && !isJSON(h.text) {
		return nil, notOllamaFormat()
	}
	return h.body(), nil
}

// wantsFormat reports whether a call asks Ollama for JSON.
func wantsFormat(call batholith.Call) bool { return !trim(call.Body).member("format").absent() }

// notOllamaFormat is the failure of an attempt whose answer ignores format.
func notOllamaFormat() error {
	return modelFault("it should be JSON, as the record asks, and is not")
}

// ollamaEnd returns why an answer ended. Ollama says so since 0.1.33; done is always there.
func ollamaEnd(doc value) (string, error) {
	if !doc.member("done").isTrue() {
		return "", brokenOff(value(`"unfinished"`))
	}
	word := doc.member("done_reason")
	end, broken := endOf(word)
	if broken {
		return "", brokenOff(word)
	}
	return end, nil
}

// ollamaTokens reads the token counts of an answer.
func ollamaTokens(doc value) (t batholith.Tokens) {
	for name, n := range doc.members() {
		switch name {
		case "prompt_eval_count":
			t.Input = tokenCount(n)
		case "eval_count":
			t.Output = tokenCount(n)
		}
	}
	return t
}

// ollamaChat reads an answer of /api/chat.
func ollamaChat(doc value) (h hubAnswer, err error) {
	if h.finish, err = ollamaEnd(doc); err != nil {
		return h, err
	}
	m := doc.member("message")
	if m.kind() != '{' {
		return h, nonsense("it has no message")
	}
	h.model, h.tokens = doc.member("model"), ollamaTokens(doc)
	if text := m.member("content"); text.kind() == '"' && !text.is("") {
		h.text = text
	}
	if thought := m.member("thinking"); thought.kind() == '"' && !thought.is("") {
		h.thought = thought
	}
	for i, c := range m.member("tool_calls").elements() {
		f := c.member("function")
		name := f.member("name")
		if name.kind() != '"' || name.is("") {
			return h, modelFault("a tool call has no function name")
		}
		args, err := arguments(f.member("arguments"), h.finish == endLength)
		if err != nil {
			return h, err
		}
		id := c.member("id")
		if id.kind() != '"' || id.is("") { // before 0.12
			id = value(`"call_` + strconv.Itoa(i) + `"`)
		}
		h.calls = append(h.calls, toolCall{id: id, name: name, arguments: args})
	}
	if h.finish == "" && h.silent() {
		return h, nothingSaid()
	}
	h.finish = endWith(len(h.calls), h.finish)
	return h, nil
}

// generated writes an answer of /api/generate as one of /completions.
func (ollamaLeg) generated(doc value) ([]byte, error) {
	finish, err := ollamaEnd(doc)
	if err != nil {
		return nil, err
	}
	text := doc.member("response")
	if text.kind() != '"' {
		return nil, nonsense("it has no response")
	}
	b := make(buffer, 0, len(text)+256)
	b.literal(`{"object":"text_completion","created":0`)
	b.member("model", doc.member("model"))
	b.literal(`"choices":[{"index":0`)
	b.member("text", text)
	b.textMember("finish_reason", endWith(0, finish))
	b.close('}')
	b.close(']')
	b.usage(ollamaTokens(doc), false)
	b.close('}')
	return b, nil
}

// vectorsAnswer writes a list of vectors as an answer of /embeddings.
func vectorsAnswer(model, vectors value, prompt int64) ([]byte, error) {
	if vectors.kind() != '[' || vectors.len() == 0 {
		return nil, nonsense("it has no embeddings")
	}
	b := make(buffer, 0, len(vectors)+256)
	b.literal(`{"object":"list"`)
	b.member("model", model)
	b.key("data")
	b.open('[')
	for i, v := range vectors.elements() {
		b.literal(`{"object":"embedding"`)
		b.integerMember("index", int64(i))
		b.member("embedding", v)
		b.close('}')
	}
	b.close(']')
	b.key("usage")
	b.open('{')
	b.integerMember("prompt_tokens", prompt)
	b.integerMember("total_tokens", prompt)
	b.close('}')
	b.close('}')
	return b, nil
}

// ollamaAnswered is CanaryAnswered for Ollama's protocol: one token may be no text.
func ollamaAnswered(body []byte) bool {
	doc, err := answerObject(body)
	if err != nil {
		return false
	}
	if doc.member("embeddings").filled() {
		return true
	}
	_, err = ollamaEnd(doc)
	return err == nil && (doc.member("message").kind() == '{' || doc.member("response").kind() == '"')
}

// ollamaUsage is Usage for Ollama's protocol.
func ollamaUsage(body []byte) batholith.Tokens {
	doc, err := parseAnswer(body)
	if err != nil || doc.kind() != '{' {
		return batholith.Tokens{}
	}
	return ollamaTokens(doc)
}
