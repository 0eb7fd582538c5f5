package dialect

import (
	"errors"
	"net/url"
	"strings"

	"github.com/batholith/batholith"
)

// ProtocolBedrock is the protocol of Bedrock's runtime: the real service, or another Batholith.
// Records of both invocation types pass unchanged, and so do the answers.
const ProtocolBedrock = "bedrock"

// MetricsMember is the member in which package upstream puts the token counts of the headers of
// an answer of InvokeModel, because not every family has them in its body. It has the name and
// the members that Bedrock gives it in a stream.
const MetricsMember = "amazon-bedrock-invocationMetrics"

// overBedrock is the protocol's over.
func overBedrock(t translator) (translator, error) {
	switch t := t.(type) {
	case converse:
		return nativeConverse{t.Options}, nil
	case noConverse:
		return nil, errors.New(embedsOnly)
	case openAIEmbed, openAIText:
		return nil, errors.New("Bedrock's runtime has no such bodies; use a backend with the protocol openai")
	}
	return nativeInvoke{t: t}, nil
}

// runtimeCall is a call of an operation of Bedrock's runtime. Ids and ARNs are one segment of the
// path, with the escapes that the SDKs write.
func runtimeCall(body value, model, operation string) batholith.Call {
	b := append(newBuffer(len(body)+64), body...)
	segment := strings.ReplaceAll(url.PathEscape(model), ":", "%3A")
	return batholith.Call{Path: "/model/" + segment + "/" + operation, Body: b}
}

// calledModel is the model of a call that runtimeCall has made.
func calledModel(call batholith.Call) string {
	segment, _, _ := strings.Cut(strings.TrimPrefix(call.Path, "/model/"), "/")
	model, _ := url.PathUnescape(segment)
	return model
}

// nativeInvoke passes bodies of InvokeModel. t translates the same bodies for other protocols.
type nativeInvoke struct {
	t  translator
	as string // the model's name in answers to calls of another API; "": answers pass unchanged
}

// path implements pather.
func (d nativeInvoke) path(body value) string { return pathOf(d.t, body) }

// request implements translator. Bedrock checks the body itself.
func (d nativeInvoke) request(body value, model string) (batholith.Call, error) {
	call := runtimeCall(body, model, "invoke")
	for name, v := range body.present() {
		call.ServerTools = call.ServerTools || serverRun(name, v)
	}
	return call, nil
}

// answer implements translator.
func (d nativeInvoke) answer(_ value, call batholith.Call, body []byte) (batholith.Answer, error) {
	doc, err := answerObject(body)
	if err != nil {
		return batholith.Answer{}, err
	}
	if !saysSomething(doc) {
		return batholith.Answer{}, nonsense("it has none of the members of a model's answer")
	}
	return batholith.Answer{Output: renamed(Cut(doc, MetricsMember), d.as), Tokens: bedrockTokens(doc), Model: calledModel(call)}, nil
}

// saysSomething reports whether an answer has the member that holds a model's answer, in the form
// of one of the families.
func saysSomething(doc value) bool {
	for name, v := range doc.present() {
		first := v
		for _, e := range v.elements() {
			first = e
			break
		}
		ok := false
		switch name {
		case "completion", "generation", "text": // Claude's old format; Llama; Cohere
			ok = v.kind() == '"'
		case "content": // Claude
			ok = v.kind() == '['
		case "output": // Nova
			ok = v.member("message").member("content").kind() == '['
		case "results": // Titan
			ok = first.member("outputText").kind() == '"'
		case "outputs", "generations": // Mistral; Cohere
			ok = first.member("text").kind() == '"'
		case "choices": // OpenAI, Mistral; DeepSeek
			ok = first.member("message").kind() == '{' || first.member("text").kind() == '"'
		case "embedding": // Titan
			ok = v.kind() == '[' && first.kind() == '0'
		case "embeddings": // Cohere, Nova
			ok = v.filled() || v.kind() == '{'
		case "embeddingsByType":
			ok = v.kind() == '{'
		}
		if ok {
			return true
		}
	}
	return false
}

// nativeConverse passes bodies of Converse.
type nativeConverse struct{ Options }

// request implements translator.
func (d nativeConverse) request(body value, model string) (batholith.Call, error) {
	if err := needArray("messages", body.member("messages")); err != nil {
		return batholith.Call{}, hintInvoke(body, err)
	}
	if d.RefuseConverseTools && body.member("toolConfig").member("tools").filled() {
		return batholith.Call{}, at("toolConfig", wrong(noConverseTools))
	}
	return runtimeCall(body, model, "converse"), nil
}

// answer implements translator.
func (nativeConverse) answer(_ value, call batholith.Call, body []byte) (batholith.Answer, error) {
	doc, err := converseAnswer(body)
	if err != nil {
		return batholith.Answer{}, err
	}
	return batholith.Answer{Output: doc, Tokens: bedrockTokens(doc), Model: calledModel(call)}, nil
}

// converseAnswer checks an answer of Converse: it has a message, and says why it ended.
func converseAnswer(body []byte) (value, error) {
	doc, err := answerObject(body)
	if err != nil {
		return nil, err
	}
	if doc.member("output").member("message").member("content").kind() != '[' {
		return nil, nonsense("it has no message")
	}
	if doc.member("stopReason").text() == "" {
		return nil, nonsense("it has no stopReason")
	}
	return doc, nil
}

// bedrockTokens reads the token counts of an answer: of its usage, in the form of Claude, Nova,
// Converse or OpenAI; else those of the headers; else those that the family has elsewhere.
func bedrockTokens(doc value) batholith.Tokens {
	var t, header, family batholith.Tokens
	for name, v := range doc.present() {
		switch name {
		case "usage":
			if t = usage(v); t == (batholith.Tokens{}) {
				t = camelTokens(v)
			}
			if t == (batholith.Tokens{}) {
				t = messageTokens(v)
			}
		case MetricsMember:
			header = camelTokens(v)
		case "prompt_token_count", "inputTextTokenCount":
			family.Input = tokenCount(v)
		case "generation_token_count":
			family.Output = tokenCount(v)
		case "results":
			for _, r := range v.elements() {
				family.Output = batholith.BelievedTokens(family.Output + tokenCount(r.member("tokenCount")))
			}
		case "meta":
			family = messageTokens(v.member("billed_units"))
		}
	}
	if t == (batholith.Tokens{}) {
		t = header
	}
	if t == (batholith.Tokens{}) {
		t = family
	}
	return t
}

// camelTokens reads counts as Converse, Nova and the metrics of InvokeModel name them.
func camelTokens(v value) (t batholith.Tokens) {
	for name, n := range v.members() {
		switch name {
		case "inputTokens", "inputTokenCount":
			t.Input = tokenCount(n)
		case "outputTokens", "outputTokenCount":
			t.Output = tokenCount(n)
		case "cacheReadInputTokens", "cacheReadInputTokenCount":
			t.CacheRead = tokenCount(n)
		case "cacheWriteInputTokens", "cacheWriteInputTokenCount":
			t.CacheWrite = tokenCount(n)
		}
	}
	return withCache(t)
}

// bedrockCanary is a canary for Bedrock's runtime. Every chat model knows Converse; for embeddings
// the id of the model tells the body. There is none for a class with schemas only, which few
// models of Bedrock know.
func bedrockCanary(path string, f Features, model, text string) (batholith.Call, bool) {
	b := newBuffer(512)
	b.open('{')
	if path == embeddingsPath {
		switch FamilyOf(model) {
		case "titan-embed":
			b.textMember("inputText", text)
		case "cohere-embed":
			b.key("texts")
			b.open('[')
			b.text(text)
			b.close(']')
			b.textMember("input_type", "search_document")
		case "nova-embed":
			b.literal(`"taskType":"SINGLE_EMBEDDING","singleEmbeddingParams":{"embeddingPurpose":"GENERIC_INDEX","text":{"truncationMode":"END"`)
			b.textMember("value", text)
			b.close('}')
			b.close('}')
		default:
			return batholith.Call{}, false
		}
		b.close('}')
		return runtimeCall(value(b), model, "invoke"), true
	}
	if path != chatPath && path != completionsPath || f.Has(FeatureSchema) && !f.Has(FeatureTools) {
		return batholith.Call{}, false
	}
	b.literal(`"messages":[{"role":"user","content":[{`)
	b.textMember("text", text)
	b.close('}')
	if f.Has(FeatureMedia) {
		b.literal(`{"image":{"format":"png","source":{`)
		b.textMember("bytes", strings.TrimPrefix(canaryPicture(), "data:image/png;base64,"))
		b.close('}')
		b.close('}')
		b.close('}')
	}
	b.close(']')
	b.close('}')
	b.close(']')
	b.literal(`"inferenceConfig":{"maxTokens":1}`)
	if f.Has(FeatureTools) {
		b.literal(`"toolConfig":{"tools":[{"toolSpec":{"name":"note","description":"Notes a word.","inputSchema":{"json":` + canarySchema + `}}}]`)
		if f.Has(FeatureSchema) {
			b.literal(`"toolChoice":{"tool":{"name":"note"}}`)
		}
		b.close('}')
	}
	b.close('}')
	return runtimeCall(value(b), model, "converse"), true
}

// bedrockAnswered is CanaryAnswered for Bedrock's runtime.
func bedrockAnswered(body []byte) bool {
	if _, err := converseAnswer(body); err == nil {
		return true
	}
	doc, err := answerObject(body)
	if err != nil {
		return false
	}
	for name := range doc.present() {
		if name == "embedding" || name == "embeddings" || name == "embeddingsByType" {
			return true
		}
	}
	return false
}

// bedrockUsage is Usage for Bedrock's runtime.
func bedrockUsage(body []byte) batholith.Tokens {
	doc, err := parseAnswer(body)
	if err != nil {
		return batholith.Tokens{}
	}
	return bedrockTokens(doc)
}
