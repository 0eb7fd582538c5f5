package runtime

import (
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/dialect"
)

// openAIKind returns the type of an error in OpenAI's API, and its status. OpenAI's libraries send
// a call again after 408, 409, 429 and 5xx.
func openAIKind(code string, status int) (string, int) {
	switch {
	case code == bedrock.CodeAccessDenied:
		return "permission_error", http.StatusForbidden
	case status == http.StatusForbidden || status == http.StatusUnauthorized: // no key, or a wrong one
		return "authentication_error", http.StatusUnauthorized
	case code == CodeModelTimeout:
		return "server_error", http.StatusGatewayTimeout
	case code == CodeModelError:
		return "server_error", http.StatusBadGateway
	case code == CodeModelNotReady:
		return "server_error", http.StatusServiceUnavailable
	case status == http.StatusTooManyRequests:
		return "rate_limit_error", status
	case status >= http.StatusInternalServerError:
		return "server_error", status
	}
	return "invalid_request_error", status
}

// openAIError is an error in OpenAI's form.
type openAIError struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

// newOpenAIError returns the error of a type. Some statuses have a code, which programs compare.
func newOpenAIError(status int, kind, message string) (e struct {
	Error openAIError `json:"error"`
}) {
	e.Error = openAIError{Message: message, Type: kind}
	code := map[int]string{http.StatusUnauthorized: "invalid_api_key", http.StatusNotFound: "model_not_found", http.StatusTooManyRequests: "rate_limit_exceeded"}[status]
	if code != "" {
		e.Error.Code = &code
	}
	return e
}

// refuseOpenAI answers an error.
func refuseOpenAI(w http.ResponseWriter, status int, kind, message, id string) {
	w.Header().Set("X-Request-Id", id)
	body, _ := json.Marshal(newOpenAIError(status, kind, message), jsontext.AllowInvalidUTF8(true)) // strings can always be encoded
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone needs no answer
}

// sentEvents writes a stream as server-sent events (WHATWG HTML, section 9.2).
type sentEvents struct {
	w       http.ResponseWriter
	control *http.ResponseController
	b       []byte
}

// begin writes the head of the answer.
func (s *sentEvents) begin(*call) {
	s.w.Header().Set("Content-Type", "text/event-stream")
	s.w.Header().Set("Cache-Control", "no-cache")
	s.w.Header().Set("X-Accel-Buffering", "no") // nginx would hold events back
	s.w.WriteHeader(http.StatusOK)
}

// send writes one event.
func (s *sentEvents) send(name string, data []byte) error {
	s.b = s.b[:0]
	if name != "" {
		s.b = append(append(append(s.b, "event: "...), name...), '\n')
	}
	s.b = append(append(append(s.b, "data: "...), data...), "\n\n"...)
	return push(s.w, s.control, s.b)
}

// openAIEvents is a stream of chat completions, whose events have no names and end with [DONE], or
// of Responses, whose events have names and no end.
type openAIEvents struct {
	sentEvents
	named  bool  // events of Responses
	number int64 // of events so far
}

// newOpenAIEvents returns a writer that has written nothing.
func newOpenAIEvents(w http.ResponseWriter) streamWriter {
	return &openAIEvents{sentEvents: sentEvents{w: w, control: http.NewResponseController(w)}}
}

// event implements streamWriter.
func (o *openAIEvents) event(e dialect.Event) error {
	o.number++
	if o.named = strings.HasPrefix(e.Type, "response."); o.named {
		return o.send(e.Type, e.Payload)
	}
	return o.send("", e.Payload)
}

// end implements streamWriter.
func (o *openAIEvents) end() error {
	if o.named {
		return nil
	}
	return o.send("", []byte("[DONE]"))
}

// fail implements streamWriter. OpenAI's libraries raise an error for both forms.
func (o *openAIEvents) fail(refusal bedrock.Refusal) error {
	code, status, message := refusal.Refusal()
	kind, status := openAIKind(code, status)
	e := newOpenAIError(status, kind, message)
	if o.named {
		body, _ := json.Marshal(struct {
			Type    string  `json:"type"`
			Number  int64   `json:"sequence_number"`
			Code    string  `json:"code"`
			Message string  `json:"message"`
			Param   *string `json:"param"`
		}{Type: "error", Number: o.number, Code: kind, Message: message}, jsontext.AllowInvalidUTF8(true))
		return o.send("error", body)
	}
	body, _ := json.Marshal(e, jsontext.AllowInvalidUTF8(true))
	return o.send("", body)
}

// listOpenAI answers the list of models.
func (h *handler) listOpenAI(c *call, w http.ResponseWriter) error {
	list := struct {
		Object string      `json:"object"`
		Data   []openModel `json:"data"`
	}{"list", []openModel{}}
	for _, m := range h.offered(c) {
		list.Data = append(list.Data, openModel{m.ID, "model", 0, m.Provider})
	}
	return sendJSON(w, list)
}

// openModel is a model in OpenAI's form.
type openModel struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Owner   string `json:"owned_by"`
}

// describeOpenAI answers one model.
func (h *handler) describeOpenAI(c *call, w http.ResponseWriter) error {
	return sendJSON(w, openModel{c.model.ID, "model", 0, c.model.Provider})
}
