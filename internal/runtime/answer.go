package runtime

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/batholith/batholith"
)

// invoke answers InvokeModel: a body of the model's family in, another one out. The tokens and the time are in headers.
func (h *handler) invoke(c *call, w http.ResponseWriter) error {
	answer, took, err := h.ask(c)
	if err != nil {
		return err
	}
	c.header.reply(w.Header())
	w.Header().Set(headerInputTokens, strconv.FormatInt(answer.Tokens.Input, 10))
	w.Header().Set(headerOutputTokens, strconv.FormatInt(answer.Tokens.Output, 10))
	w.Header().Set(headerTook, strconv.FormatInt(took.Milliseconds(), 10))
	send(w, answer.Output)
	return nil
}

// converse answers Converse. The tokens and the time are in the body.
func (h *handler) converse(c *call, w http.ResponseWriter) error {
	answer, _, err := h.ask(c)
	if err != nil {
		return err
	}
	send(w, answer.Output)
	return nil
}

// ask has the model answer the body. took is the time of the last attempt.
func (h *handler) ask(c *call) (answer batholith.Answer, took time.Duration, err error) {
	if err := object(c.body); err != nil {
		return answer, 0, err
	}
	if err := h.afford(c); err != nil {
		return answer, 0, err
	}
	err = h.Lanes.Interact(c.http.Context(), c.ask(c.body), func(ctx context.Context, t Turn) (err error) {
		began := time.Now()
		answer, err = t.Ask(ctx)
		took = time.Since(began)
		return err
	})
	if err == nil {
		h.used(c, answer.Tokens)
	}
	return answer, took, err
}

// ask returns what a call with this body asks of the lanes.
func (c *call) ask(body []byte) Ask {
	return Ask{Model: c.name, Type: c.op.typ, Body: body, Who: c.who}
}

// sendJSON answers 200 with a value in JSON.
func sendJSON(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return err
	}
	send(w, body)
	return nil
}

// send answers 200 with a JSON body.
func send(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // a client that has gone needs no answer
}
