package tinylm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

const maxBody = 1 << 20 // bytes; a prompt that fits the model is a thousandth of it

// ServeHTTP implements the part of the OpenAI API that the model supports: chat completions, completions, embeddings and the list of
// models. GET /props and /health are those of llama.cpp's server; /props has the number of slots.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.mux.ServeHTTP(w, r) }

// routes are the paths of the server.
func (e *Engine) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /health", e.handle(e.health))
	mux.Handle("GET /props", e.handle(e.props))
	mux.Handle("GET /v1/models", e.handle(e.models))
	mux.Handle("POST /v1/chat/completions", e.handle(e.chat))
	mux.Handle("POST /v1/completions", e.handle(e.completion))
	mux.Handle("POST /v1/embeddings", e.handle(e.embeddings))
	mux.Handle("/", e.handle(func(r *http.Request) (any, error) {
		return nil, &apiError{http.StatusNotFound, "invalid_request_error", "not_found", fmt.Sprintf("there is no %s %s here", r.Method, r.URL.Path)}
	}))
	return mux
}

// apiError is a refusal in OpenAI's form.
type apiError struct {
	status  int
	kind    string
	code    string
	message string
}

// Error is the message in the body.
func (e *apiError) Error() string { return e.message }

// invalid is a 400 with this message.
func invalid(format string, a ...any) *apiError {
	return &apiError{http.StatusBadRequest, "invalid_request_error", "invalid_value", fmt.Sprintf(format, a...)}
}

// refusal maps an error to a status and the fields of the body. It is the only place that does so.
func refusal(err error) *apiError {
	var known *apiError
	var length *LengthError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &length):
		return &apiError{http.StatusBadRequest, "invalid_request_error", "context_length_exceeded", err.Error()}
	case errors.As(err, &tooLarge):
		return &apiError{http.StatusRequestEntityTooLarge, "invalid_request_error", "request_too_large", fmt.Sprintf("the body is larger than %d bytes", maxBody)}
	case errors.Is(err, ErrBusy):
		return &apiError{http.StatusTooManyRequests, "rate_limit_error", "rate_limit_exceeded", err.Error() + ": send the request again later"}
	default: // ErrStopped, or the caller has gone and reads no answer
		return &apiError{http.StatusServiceUnavailable, "server_error", "unavailable", err.Error()}
	}
}

// handle turns a function into a handler that answers in JSON, or with the stream of a reply.
func (e *Engine) handle(f func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		v, err := f(r)
		if p, ok := v.(reply); ok && err == nil {
			if err = e.stream(w, r, p); err == nil {
				return
			}
		}
		status := http.StatusOK
		if err != nil {
			a := refusal(err)
			status, v = a.status, map[string]any{"error": map[string]any{"message": a.message, "type": a.kind, "code": a.code, "param": nil}}
		}
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // an error here means that the caller has gone
	})
}

// read decodes a request's body.
func read(r *http.Request, v any) error {
	var tooLarge *http.MaxBytesError
	err := json.NewDecoder(r.Body).Decode(v)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &tooLarge):
		return err
	}
	var a *apiError
	if errors.As(err, &a) { // from one of our UnmarshalJSON methods
		return a
	}
	return invalid("read the body: %v", err)
}

// served checks that a request names this model or none. OpenAI: an unknown model is a 404.
func served(model string) error {
	if model == "" || model == Name {
		return nil
	}
	return &apiError{http.StatusNotFound, "invalid_request_error", "model_not_found", fmt.Sprintf("model %q is not served here: only %s is", model, Name)}
}

// health answers GET /health.
func (e *Engine) health(*http.Request) (any, error) {
	select {
	case <-e.stopped:
		return nil, ErrStopped
	default:
		return map[string]string{"status": "ok"}, nil
	}
}

// props answers GET /props.
func (e *Engine) props(*http.Request) (any, error) {
	return map[string]any{
		"total_slots":                 e.Slots(),
		"model_alias":                 Name,
		"default_generation_settings": map[string]int{"n_ctx": e.model.context},
	}, nil
}

// models answers GET /v1/models.
func (e *Engine) models(*http.Request) (any, error) {
	m := map[string]any{"id": Name, "object": "model", "created": 0, "owned_by": "batholith", "max_model_len": e.model.context}
	return map[string]any{"object": "list", "data": []any{m}}, nil
}

// usage counts a request's tokens as OpenAI reports them.
type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

// answered runs a request and counts its tokens.
func (e *Engine) answered(ctx context.Context, req Request) (Result, usage, error) {
	res, err := e.Complete(ctx, req)
	n := len(req.Prompt)
	return res, usage{n, res.Tokens, n + res.Tokens}, err
}

// id is a new id of an answer, unique within the engine.
func (e *Engine) id(prefix string) string { return fmt.Sprintf("%s-%d", prefix, e.served.Add(1)) }
