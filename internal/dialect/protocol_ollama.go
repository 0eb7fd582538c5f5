package dialect

import (
	"github.com/batholith/batholith"
)

// ProtocolOllama is Ollama's own protocol (https://docs.ollama.com/api). Unlike its OpenAI
// endpoints it has the size of the context in each request, and refuses a prompt that does not fit
// instead of cutting it.
const ProtocolOllama = "ollama"

// Paths of Ollama's API, appended to the backend's base URL.
const (
	ollamaChatPath     = "/api/chat"
	ollamaGeneratePath = "/api/generate"
	ollamaEmbedPath    = "/api/embed"
)

// ollamaLeg translates OpenAI's requests to Ollama's.
type ollamaLeg struct{}

// carries implements leg. Prompts with the marks of a chat template go to /api/generate with raw.
func (ollamaLeg) carries(string) error { return nil }

// native implements leg.
func (ollamaLeg) native(translator) translator { return nil }

// request implements leg.
func (ollamaLeg) request(hub batholith.Call) (batholith.Call, error) {
	switch hub.Path {
	case embeddingsPath:
		return ollamaEmbed(hub)
	case completionsPath:
		return ollamaRequestOf(hub, ollamaGeneratePath)
	}
	return ollamaRequestOf(hub, ollamaChatPath)
}

// Ollama loads a model with a context of so many tokens, and loads it anew when a request asks for
// another number. So the number goes in steps: the next power of two, and at least leastCtx,
// Ollama's own default.
//
//	need = bytes of the request / 2 + 768 × images + limit of output tokens + 256
//
// Two bytes a token is less than any tokenizer in use needs on average for text.
const (
	leastCtx     = 4096
	mostCtx      = 1 << 20
	bytesPerCtx  = 2
	ctxPerImage  = 768 // Ollama: server/prompt.go
	ctxOverhead  = 256 // of the chat template
	defaultReply = 1024
)

// contextFor returns the context that a request needs.
func contextFor(bytes, images int, limit int64) int64 {
	need := int64(bytes/bytesPerCtx+ctxPerImage*images+ctxOverhead) + limit
	ctx := int64(leastCtx)
	for ctx < need && ctx < mostCtx {
		ctx *= 2
	}
	return ctx
}

// ollamaEmbed converts a request for embeddings.
func ollamaEmbed(hub batholith.Call) (batholith.Call, error) {
	body := trim(hub.Body)
	input := body.member("input")
	if input.absent() {
		return batholith.Call{}, wrong("Ollama embeds texts only; use a backend with the protocol openai for images")
	}
	b := newBuffer(len(body) + 64)
	b.open('{')
	b.member("model", body.member("model"))
	b.member("input", input)
	b.literal(`"truncate":false`)
	b.member("dimensions", body.member("dimensions"))
	b.close('}')
	return batholith.Call{Path: ollamaEmbedPath, Body: b, Changes: hub.Changes, Spare: hub.Spare & spareDimensions}, nil
}
