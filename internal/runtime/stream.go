package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/dialect"
)

// streamWriter writes a stream in the form of one API.
type streamWriter interface {
	begin(c *call) // before the first event: the head of the answer
	event(dialect.Event) error
	end() error                         // after the last event of a whole answer
	fail(refusal bedrock.Refusal) error // after an event: the answer is not whole
}

// invokeStream answers InvokeModelWithResponseStream.
func (h *handler) invokeStream(c *call, w http.ResponseWriter) error {
	return h.stream(c, c.body, newFrames(w, true), false)
}

// converseStream answers ConverseStream.
func (h *handler) converseStream(c *call, w http.ResponseWriter) error {
	return h.stream(c, c.body, newFrames(w, false), false)
}

// stream has the model answer the body, and passes the answer on as it comes. Until the first event
// the error is the call's, with a status of its own. After it the client is told within the stream,
// so a stream that breaks never looks like a whole answer.
func (h *handler) stream(c *call, body []byte, w streamWriter, plain bool) error {
	if err := object(body); err != nil {
		return err
	}
	if err := h.afford(c); err != nil {
		return err
	}
	s := &streaming{c: c, relay: newRelay(w, c, &h.unread), plain: plain}
	defer s.relay.close()
	err := h.Lanes.Interact(c.http.Context(), c.ask(body), s.attempt)
	var failed bedrock.Refusal
	if s.begun && err != nil && c.http.Context().Err() == nil {
		failed = h.failure(c, err)
	}
	if s.begun { // the answer has ended, though its client may not have read it yet
		h.streamed(c, s, failed)
	}
	gone := s.relay.close()
	switch {
	case !s.begun:
		return err
	case gone != nil:
	case err == nil:
		err = w.end()
	case failed != nil:
		err = w.fail(failed)
	}
	_ = err // the client has gone, and nobody is left to be told
	return nil
}

// streaming is one call whose answer is a stream.
type streaming struct {
	c     *call
	relay *relay
	plain bool // without the members that Bedrock adds to InvokeModel's chunks
	begun bool // the client gets the first event

	events int64            // that were passed on
	ended  bool             // the answer is whole
	tokens batholith.Tokens // of it
}

// attempt asks one model server.
func (s *streaming) attempt(ctx context.Context, t Turn) error {
	d, ok := t.Dialect().(dialect.Streamer)
	if !ok {
		return validation("Answers of the model %s cannot be streamed. Use InvokeModel or Converse.", s.c.model.ID)
	}
	body := t.Body()
	var from dialect.Stream
	var call batholith.Call
	began, times := time.Now(), dialect.StreamTimes{Plain: s.plain}
	_, err := t.Stream(ctx, func(model string) (batholith.Call, error) {
		var err error
		call, err = d.StreamRequest(body, model)
		return call, err
	}, func(data []byte) error {
		if from == nil {
			from = d.NewStream(body, call)
			times.First = time.Since(began)
		}
		events, err := from.Event(data)
		if err == nil {
			err = s.pass(ctx, t, events)
		}
		if err == nil && from.Done() {
			err = io.EOF
		}
		return unusable(err)
	})
	if err != nil {
		return err
	}
	if from == nil {
		return unusable(fmt.Errorf("%w: its stream is empty", dialect.ErrNonsense))
	}
	times.Took = time.Since(began)
	events, answer, err := from.End(times)
	if err != nil {
		return unusable(err)
	}
	t.Used(answer.Tokens)
	s.ended, s.tokens = true, answer.Tokens
	return s.pass(ctx, t, events)
}

// metrics are in each event that has Bedrock's own member, and in few others.
var metrics = []byte(dialect.MetricsMember)

// pass hands events to the client.
func (s *streaming) pass(ctx context.Context, t Turn, events []dialect.Event) error {
	for _, e := range events {
		if !s.begun {
			s.begun = true
			s.c.first = time.Since(s.c.began)
			t.Begun()
		}
		if s.plain && bytes.Contains(e.Payload, metrics) { // a backend with Bedrock's runtime sends them itself
			e.Payload = dialect.Cut(e.Payload, dialect.MetricsMember)
		}
		if err := s.relay.put(ctx, e); err != nil {
			return err
		}
		s.events++
	}
	return nil
}

// unusable makes the failure of an attempt from an answer that makes no sense, so that the call is
// sent again if nothing of it was passed on.
func unusable(err error) error {
	if errors.Is(err, dialect.ErrNonsense) {
		return &batholith.Failure{Kind: batholith.FailureRetry, Status: http.StatusOK, Sent: true, Message: err.Error(), Public: "its answers make no sense"}
	}
	return err
}
