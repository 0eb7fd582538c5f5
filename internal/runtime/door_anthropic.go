package runtime

import (
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/dialect"
)

// anthropicKind returns the type of an error in Anthropic's API, and its status (Anthropic:
// errors).
func anthropicKind(code string, status int) (string, int) {
	switch {
	case code == bedrock.CodeAccessDenied:
		return "permission_error", http.StatusForbidden
	case status == http.StatusForbidden || status == http.StatusUnauthorized: // no key, or a wrong one
		return "authentication_error", http.StatusUnauthorized
	case status == http.StatusNotFound:
		return "not_found_error", status
	case status == http.StatusRequestEntityTooLarge:
		return "request_too_large", status
	case code == CodeModelTimeout:
		return "timeout_error", http.StatusGatewayTimeout
	case code == CodeModelNotReady, code == CodeServiceUnavailable:
		return "overloaded_error", 529
	case status == http.StatusTooManyRequests:
		return "rate_limit_error", status
	case code == CodeModelError, status >= http.StatusInternalServerError:
		return "api_error", http.StatusInternalServerError
	}
	return "invalid_request_error", status
}

// anthropicError is an error in Anthropic's form.
type anthropicError struct {
	Type  string `json:"type"`
	Error struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	} `json:"error"`
	ID string `json:"request_id,omitzero"`
}

// newAnthropicError returns the JSON of an error.
func newAnthropicError(kind, message, id string) []byte {
	e := anthropicError{Type: "error", ID: id}
	e.Error.Type, e.Error.Message = kind, message
	body, _ := json.Marshal(e, jsontext.AllowInvalidUTF8(true)) // strings can always be encoded
	return body
}

// refuseAnthropic answers an error.
func refuseAnthropic(w http.ResponseWriter, status int, kind, message, id string) {
	w.Header().Set("Request-Id", id)
	w.WriteHeader(status)
	_, _ = w.Write(newAnthropicError(kind, message, id)) // a client that has gone needs no answer
}

// anthropicEvents is a stream of Messages. Each event has its type as its name.
type anthropicEvents struct{ sentEvents }

// newAnthropicEvents returns a writer that has written nothing.
func newAnthropicEvents(w http.ResponseWriter) streamWriter {
	return &anthropicEvents{sentEvents{w: w, control: http.NewResponseController(w)}}
}

// begin implements streamWriter.
func (a *anthropicEvents) begin(c *call) {
	a.w.Header().Set("Request-Id", c.id)
	a.sentEvents.begin(c)
}

// event implements streamWriter.
func (a *anthropicEvents) event(e dialect.Event) error { return a.send(e.Type, e.Payload) }

// end implements streamWriter: message_stop was the end.
func (a *anthropicEvents) end() error { return nil }

// fail implements streamWriter.
func (a *anthropicEvents) fail(refusal bedrock.Refusal) error {
	code, status, message := refusal.Refusal()
	kind, _ := anthropicKind(code, status)
	return a.send("error", newAnthropicError(kind, message, ""))
}

// anthropicModel is a model in Anthropic's form.
type anthropicModel struct {
	Type    string `json:"type"`
	ID      string `json:"id"`
	Name    string `json:"display_name"`
	Created string `json:"created_at"`
}

// listAnthropic answers the list of models, on one page.
func (h *handler) listAnthropic(c *call, w http.ResponseWriter) error {
	list := struct {
		Data  []anthropicModel `json:"data"`
		More  bool             `json:"has_more"`
		First *string          `json:"first_id"`
		Last  *string          `json:"last_id"`
	}{Data: []anthropicModel{}}
	for _, m := range h.offered(c) {
		list.Data = append(list.Data, anthropicModel{"model", m.ID, m.Name, "1970-01-01T00:00:00Z"})
	}
	if n := len(list.Data); n > 0 {
		list.First, list.Last = &list.Data[0].ID, &list.Data[n-1].ID
	}
	return sendJSON(w, list)
}
