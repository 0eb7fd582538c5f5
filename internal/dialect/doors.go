package dialect

import "github.com/batholith/batholith"

// Types of bodies in the format of another API, whatever the model's family. Jobs have all but Messages.
const (
	ChatCompletions                          = batholith.ChatCompletions // OpenAI: chat completions
	Messages        batholith.InvocationType = "Messages"                // Anthropic: messages; with anthropic_version in the body
	Responses                                = batholith.Responses       // OpenAI: responses
	Embeddings                               = batholith.Embeddings      // OpenAI: embeddings
	Completions                              = batholith.Completions     // OpenAI: completions
)

// isDoor reports whether a call comes in another API's format.
func isDoor(typ batholith.InvocationType) bool {
	return typ == ChatCompletions || typ == Messages || typ == Responses || typ == Embeddings || typ == Completions
}

// renamed returns an answer of another API, or an event of its stream, with the model's name in place of the server's: as a member of the
// answer, or of the message that begins a stream of Claude. name "" and answers without the member are left alone.
func renamed(doc value, name string) value {
	if name == "" || doc.member("model").absent() && doc.member("message").member("model").absent() {
		return doc
	}
	b := make(buffer, 0, len(doc)+len(name))
	b.open('{')
	for raw, v := range doc.fields() {
		switch {
		case raw.is("model"):
			b.textMember("model", name)
		case raw.is("message"):
			b.member("message", renamed(v, name))
		default:
			b.field(raw, v)
		}
	}
	b.close('}')
	return value(b)
}

// door returns the translator of a call in another API's format, or nil if typ is none of them.
func (f family) door(typ batholith.InvocationType, o Options) translator {
	switch {
	case !isDoor(typ):
		return nil
	case typ == Embeddings:
		return openAIEmbed{o}
	case f.embeds:
		return noChat{}
	case typ == Completions:
		return openAIText{o}
	case typ == Messages:
		return anthropic{o}
	case typ == Responses:
		return responses{o}
	}
	return openai{Options: o, mistral: f.name == "mistral"}
}

// noChat refuses the calls for models that return vectors.
type noChat struct{}

// request implements translator.
func (noChat) request(value, string) (batholith.Call, error) {
	return batholith.Call{}, wrong("this model returns embeddings and has no chat; use InvokeModel")
}

// writer implements streaming.
func (noChat) writer(value) (streamWriter, error) { return nil, nil }

// answer implements translator.
func (noChat) answer(value, batholith.Call, []byte) (batholith.Answer, error) {
	return batholith.Answer{}, nonsense("this model has no chat")
}

// Cut returns a JSON object without the members of these names. Everything else stays as it is.
// Values that are not objects are returned unchanged.
func Cut(object []byte, names ...string) []byte {
	body := trim(object)
	if body.kind() != '{' {
		return object
	}
	b := make(buffer, 0, len(body))
	b.open('{')
	for raw, v := range body.fields() {
		cut := false
		for _, name := range names {
			cut = cut || raw.is(name)
		}
		if !cut {
			b.field(raw, v)
		}
	}
	b.close('}')
	return b
}

// Set returns a JSON object with a member that it does not have yet. value is JSON.
func Set(object []byte, name, json string) []byte {
	body := trim(object)
	if body.kind() != '{' || !body.member(name).absent() {
		return object
	}
	b := buffer(Cut(body, name))
	b = b[:len(b)-1]
	b.anyKey(name)
	b.raw([]byte(json))
	b.close('}')
	return b
}
