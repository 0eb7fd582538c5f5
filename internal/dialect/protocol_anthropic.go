package dialect

import (
	"errors"
	"strings"

	"github.com/batholith/batholith"
)

// ProtocolAnthropic is the protocol of servers with /messages: Anthropic's own API, vLLM, SGLang,
// llama.cpp, Ollama and gateways.
const ProtocolAnthropic = "anthropic"

// messagesPath is the path of the Messages API, appended to the backend's base URL.
const messagesPath = "/messages"

// anthropicLeg translates OpenAI's chats to the Messages API. Claude's own bodies need no
// translation.
type anthropicLeg struct{}

// carries implements leg.
func (anthropicLeg) carries(path string) error {
	switch path {
	case chatPath:
		return nil
	case embeddingsPath:
		return errors.New("the Messages API makes no embeddings; use a backend with the protocol openai, whose server has /embeddings")
	}
	return errors.New("the prompt contains the marks of the model's chat template, and the Messages API would put it into another template; " +
		"use a backend with the protocol openai, whose server has /completions, or jobs of type Converse")
}

// native implements leg.
func (anthropicLeg) native(t translator) translator {
	if own, ok := t.(anthropic); ok {
		return nativeMessages{own.Options}
	}
	return nil
}

// nativeMessages passes bodies of Claude's family to a server with the Messages API, and its
// answers back. Both stay as they are, with cache marks, citations, thinking budgets and
// signatures, except for the members in which Bedrock differs from Anthropic's API.
type nativeMessages struct{ Options }

// request implements translator. It checks what Bedrock checks first. Bedrock's version is left
// out, because Anthropic's API has one in a header, and so are the names of betas.
func (d nativeMessages) request(body value, model string) (batholith.Call, error) {
	b := newBuffer(len(body) + len(model) + 16)
	b.open('{')
	b.textMember("model", model)
	call := batholith.Call{Path: messagesPath}
	var version, limit, messages value
	for raw, v := range body.fields() {
		if v.absent() {
			continue
		}
		switch name := raw.text(); {
		case strings.HasPrefix(name, guardrailPrefix):
			return batholith.Call{}, noMore(name, v)
		case (name == "model" || name == "stream") && v.says():
			return batholith.Call{}, extra(name)
		case name == "model", name == "stream":
			continue
		case name == "anthropic_version":
			version = v
			continue
		case name == "anthropic_beta":
			call.Headers = append(call.Headers, [2]string{"Anthropic-Beta", betas(v)})
			continue
		case name == "max_tokens":
			limit = v
		case name == "messages":
			messages = v
		case name == "tools", name == "mcp_servers":
			call.ServerTools = call.ServerTools || serverRun(name, v)
		}
		b.field(raw, v)
	}
	b.close('}')
	switch {
	case version.absent():
		return batholith.Call{}, hintConverse(body, required("anthropic_version"))
	case !version.is(AnthropicVersion):
		return batholith.Call{}, at("anthropic_version", wrong("Input should be '%s'", AnthropicVersion))
	case limit.absent():
		return batholith.Call{}, hintConverse(body, required("max_tokens"))
	case messages.absent():
		return batholith.Call{}, required("messages")
	}
	call.Body = b
	return call, nil
}

// betas joins a list of names, as the header has them.
func betas(v value) string {
	if v.kind() == '"' {
		return v.text()
	}
	names := ""
	for i, name := range v.elements() {
		if i > 0 {
			names += ","
		}
		names += name.text()
	}
	return names
}

// answer implements translator. The model has the name of the job's, and an end that the server
// does not tell follows from the content.
func (d nativeMessages) answer(input value, call batholith.Call, body []byte) (batholith.Answer, error) {
	m, err := readMessage(body)
	if err != nil {
		return batholith.Answer{}, err
	}
	b := make(buffer, 0, len(m.doc)+64)
	b.open('{')
	told := false
	for raw, v := range m.doc.fields() {
		switch {
		case raw.is("model"):
			b.textMember("model", claudeName(d.shown(v.text())))
			continue
		case raw.is("stop_reason"):
			b.textMember("stop_reason", m.reason())
			told = true
			continue
		}
		b.field(raw, v)
	}
	if !told {
		b.textMember("stop_reason", m.reason())
	}
	if m.doc.member("stop_sequence") == nil {
		b.literal(`"stop_sequence":null`)
	}
	b.close('}')
	return batholith.Answer{Output: b, Tokens: m.tokens, Model: m.model.text()}, nil
}

// anthropicAnswered is CanaryAnswered for the Messages API.
func anthropicAnswered(body []byte) bool {
	m, err := readMessage(body)
	_, empty := errors.AsType[*batholith.Failure](err)
	return err == nil || empty && m.doc != nil
}

// anthropicUsage is Usage for the Messages API.
func anthropicUsage(body []byte) batholith.Tokens {
	doc, err := parseAnswer(body)
	if err != nil || doc.kind() != '{' {
		return batholith.Tokens{}
	}
	return messageTokens(doc.member("usage"))
}
