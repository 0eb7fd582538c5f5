package upstream

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/batholith/batholith"
)

// protocols lists what requests of each protocol have in common beside their bodies, which
// package dialect writes.
var protocols = []protocol{
	{name: "openai", authenticate: bearer, models: "/models", ends: "an OpenAI-compatible one ends in /v1", secret: apiKey},
	{name: "anthropic", authenticate: anthropicKey, models: "/models?limit=1000", ends: "one with the protocol anthropic ends in /v1", secret: apiKey},
	{name: "bedrock", authenticate: sigV4, again: retimed, read: withMetrics,
		ends:   "Bedrock's is https://bedrock-runtime.REGION.amazonaws.com",
		secret: "the AWS keys of the backend (access_key_id and secret_access_key_env, or profile)"},
	{name: "ollama", authenticate: bearer, models: "/api/tags", ends: "one with the protocol ollama has no path, such as http://127.0.0.1:11434", prepare: fitModel, secret: apiKey},
	{name: "tei", authenticate: bearer, models: "/info", ends: "one with the protocol tei has no path, such as http://127.0.0.1:8080", send: (*Backend).embed, secret: apiKey},
}

// protocol is one row of the table.
type protocol struct {
	name string
	// authenticate adds the headers that prove the backend's key, and those that every request of
	// the protocol needs. body is the request's; nil if it has none.
	authenticate func(b *Backend, req *http.Request, body []byte) error
	models       string // path of the list of models, appended to the base URL; "": the base URL itself is asked, to see whether the server is reachable
	// prepare changes the body of a request by what the server has, or refuses it with a
	// [*batholith.Failure]; nil: nothing.
	prepare func(ctx context.Context, b *Backend, body []byte) ([]byte, error)
	// send replaces the way of a call to the server; nil: each call is a request.
	send func(b *Backend, ctx context.Context, call batholith.Call) ([]byte, error)
	// again reports whether a refused request should be sent once more, because authenticate can
	// now do better. nil: never.
	again func(b *Backend, resp *http.Response, said said) bool
	// read adds to the body of a 200 answer what its headers say. nil: nothing.
	read func(req *http.Request, resp *http.Response, body []byte) []byte

	ends, secret string // how the URL of such a server ends, and what its secret is, for a remedy
}

// apiKey is the secret of most protocols.
const apiKey = "the API key of the backend (api_key_env or api_key_file)"

// protocolOf finds a row of the table. Its error names the known protocols.
func protocolOf(name string) (*protocol, error) {
	var known []string
	for i := range protocols {
		if protocols[i].name == name {
			return &protocols[i], nil
		}
		known = append(known, protocols[i].name)
	}
	return nil, fmt.Errorf("backend protocol %q is not known; known: %s", name, strings.Join(known, ", "))
}

// anthropicVersion is the version of Anthropic's API that package dialect speaks (Anthropic: API
// versioning).
const anthropicVersion = "2023-06-01"

// anthropicKey sends the key in Anthropic's header, and the version of the API. vLLM and SGLang
// read the key from Authorization only, so other hosts than Anthropic's get it there too;
// Anthropic would take it for a token of OAuth.
func anthropicKey(b *Backend, req *http.Request, body []byte) error {
	req.Header.Set("Anthropic-Version", anthropicVersion)
	key := b.protocolKey()
	if key == "" {
		return nil
	}
	req.Header.Set("X-Api-Key", key)
	if host := b.base.Hostname(); host == "anthropic.com" || strings.HasSuffix(host, ".anthropic.com") {
		return nil
	}
	return bearer(b, req, body)
}

// bearer sends the key as OAuth 2.0 does (RFC 6750).
func bearer(b *Backend, req *http.Request, _ []byte) error {
	if key := b.protocolKey(); key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	return nil
}
