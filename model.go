package batholith

import "context"

// Model is a model that jobs may name, as the catalogue shows it.
type Model struct {
	ID       string   // Bedrock's model id, or any configured name
	Aliases  []string // further names: inference profile ids, a short name
	Name     string   // for people
	Provider string   // at most 20 characters (Bedrock: providerName)
	Family   string   // of bodies: anthropic, openai, titan-text, titan-embed, llama …
	Inputs   []string // TEXT, IMAGE, EMBEDDING (Bedrock: ModelModality)
	Outputs  []string
}

// Call is one request to a backend, in the backend's own protocol.
type Call struct {
	Path string // appended to the backend's URL: /chat/completions, /completions, /embeddings
	Body []byte
	Room Room // for the answer; nil: there is room for any
	// Fresh asks for a new connection that is closed afterwards. A kept connection may be broken, and a balancer sends all
	// requests of one connection to the same replica.
	Fresh bool
	// ServerTools says that the server may run tools for this request, such as a web search. They may have effects outside the
	// server, so that a request that was sent in full should not be repeated.
	ServerTools bool
}

// Room is what an answer takes in memory. It is used by one goroutine, in the time of one call.
type Room interface {
	// Grow waits until there is room for n bytes more. An error is the cause of ctx.
	Grow(ctx context.Context, n int) error
	// Alone waits until no other large thing is copied; n is how many bytes this one has.
	Alone(n int) (leave func())
}

// Answer is what a backend's answer became in the words of the record's body family.
type Answer struct {
	Output []byte // modelOutput: one JSON value without line breaks
	Tokens Tokens
}
