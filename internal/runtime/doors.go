package runtime

import (
	"errors"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/dialect"
)

// api is another API beside Bedrock's through which the same models can be called. Clients of it
// name the model in the body, have errors in a form of their own, and send keys in headers of
// their own.
type api struct {
	prefix string // of its paths
	// refuse writes an error with the API's name for it.
	refuse func(w http.ResponseWriter, status int, kind, message, id string)
	// kind returns the API's name for an error, and its status.
	kind func(code string, status int) (string, int)
	// stream returns the writer of a stream.
	stream func(w http.ResponseWriter) streamWriter
}

// The other APIs (Bedrock: OpenAI's on the runtime's host, Anthropic's beside it).
var (
	openAI    = &api{prefix: "/openai/v1/", refuse: refuseOpenAI, kind: openAIKind, stream: newOpenAIEvents}
	anthropic = &api{prefix: "/anthropic/v1/", refuse: refuseAnthropic, kind: anthropicKind, stream: newAnthropicEvents}
)

// apiOf returns the API of a path, or nil for Bedrock's.
func apiOf(r *http.Request) *api {
	for _, a := range []*api{openAI, anthropic} {
		if strings.HasPrefix(r.URL.EscapedPath(), a.prefix) {
			return a
		}
	}
	return nil
}

// WithKey returns a request of one of the other APIs with the key of Anthropic's clients, x-api-key,
// in the header of all others. Other requests are returned unchanged.
func WithKey(r *http.Request) *http.Request {
	key := r.Header.Get("X-Api-Key")
	if key == "" || r.Header.Get("Authorization") != "" || apiOf(r) == nil {
		return r
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+key)
	return r
}

// named reads the model and the wish for a stream from a call's body.
func (c *call) named() error {
	if err := object(c.body); err != nil {
		return err
	}
	var in struct {
		Model  jsontext.Value `json:"model"`
		Stream jsontext.Value `json:"stream"`
	}
	if err := json.Unmarshal(c.body, &in, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		return validation("The body is not JSON.")
	}
	if err := json.Unmarshal(in.Model, &c.name, jsontext.AllowInvalidUTF8(true)); err != nil || c.name == "" {
		return validation("model: give the id of a model.")
	}
	switch string(in.Stream) {
	case "", "null", "false":
	case "true":
		c.streams = true
	default:
		return validation("stream: Input should be true or false.")
	}
	if c.streams {
		op := *c.op
		op.action = actionStream
		c.op = &op
	}
	return nil
}

// answer answers a call of another API, whole or as a stream.
func (h *handler) answer(c *call, w http.ResponseWriter) error {
	body := dialect.Cut(c.body, "model")
	if c.op.typ == dialect.Messages {
		body = versioned(dialect.Cut(body, "stream", "metadata", "service_tier", "inference_geo"))
	}
	c.body = body
	if c.streams {
		return h.stream(c, body, c.api.stream(w), true)
	}
	a, _, err := h.ask(c)
	if err != nil {
		return err
	}
	send(w, a.Output)
	return nil
}

// versioned returns a body of Anthropic's API with the version, which Bedrock has in the body.
func versioned(body []byte) []byte {
	return dialect.Set(body, "anthropic_version", `"`+dialect.AnthropicVersion+`"`)
}

// countMessages answers count_tokens of Anthropic's API.
func (h *handler) countMessages(c *call, w http.ResponseWriter) error {
	body := dialect.Set(versioned(dialect.Cut(c.body, "model")), "max_tokens", "1")
	tokens, exact, err := h.Lanes.Count(c.http.Context(), c.ask(body))
	if err != nil {
		return err
	}
	w.Header().Set(headerCount, counted(exact))
	return sendJSON(w, struct {
		Tokens int64 `json:"input_tokens"`
	}{tokens})
}

// refuseAPI answers an error in the form of the call's API.
func (h *handler) refuseAPI(c *call, w http.ResponseWriter, e bedrock.Refusal) {
	code, status, message := e.Refusal()
	kind, status := c.api.kind(code, status)
	c.api.refuse(w, status, kind, message, c.id)
}

// offered returns the models that the caller may call.
func (h *handler) offered(c *call) (models []batholith.Model) {
	for _, m := range h.Models.Models() {
		if h.mayCall(c, m.ID) {
			models = append(models, m)
		}
	}
	return models
}

// mayCall reports whether the caller may call a model.
func (h *handler) mayCall(c *call, model string) bool {
	var refused *Error
	return !errors.As(h.may(c, model), &refused)
}
