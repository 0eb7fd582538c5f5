package dispatch

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/limit"
)

// Streamer is a Backend that passes an answer on as it comes.
type Streamer interface {
	// Stream sends one request and calls each with every event of the answer, until the answer has ended. Before the first event its errors
	// are those of Do. An error of each ends the stream and is returned. A stream that ends early is a *batholith.Failure.
	Stream(ctx context.Context, c batholith.Call, each func(data []byte) error) error
}

// Turn is one attempt of an interactive call, in a slot of a backend. One goroutine uses it, during one call of the function that Interact was
// given.
type Turn struct {
	l       *lane
	call    *call
	backend Backend
	dialect dialect.Dialect

	flight limit.Flight
	flying bool             // flight has not landed
	asked  bool             // something was sent
	sole   bool             // no other request was in flight on the lane when it was sent
	once   bool             // the server runs tools that the request names
	begun  bool             // the client has got something of the answer
	tokens batholith.Tokens // of the answer
	room   *room
	span   span // of the latest request
}

// Model returns the backend's own name of the model, and Dialect the translation for this backend.
func (t *Turn) Model() string { return t.backend.ModelName() }

// Body returns the call's body for the dialect: with the content of the documents that it names, and marks in place of its other objects.
func (t *Turn) Body() []byte { return t.call.input }

// Dialect returns the translation between the model's bodies and the backend's protocol.
func (t *Turn) Dialect() dialect.Dialect { return t.dialect }

// Begun notes that the client gets the first byte of the answer now: the call is not sent again after a failure.
func (t *Turn) Begun() { t.begun = true }

// Used notes the tokens of the answer. Ask calls it itself.
func (t *Turn) Used(tokens batholith.Tokens) { t.tokens = tokens }

// Ask translates the body, sends it, and translates the whole answer. Its errors are those of Interact.
func (t *Turn) Ask(ctx context.Context) (batholith.Answer, error) {
	call, err := t.translate(func() (batholith.Call, error) { return t.dialect.Request(t.call.input, t.Model()) })
	if err != nil {
		return batholith.Answer{}, err
	}
	body, err := t.Do(ctx, &call)
	if err != nil {
		return batholith.Answer{}, err
	}
	var answer batholith.Answer
	err = batholith.Guard("translate an answer", func() (err error) {
		defer t.l.d.o.Room.Alone(len(body))()
		answer, err = t.dialect.Answer(t.call.input, call, body)
		return err
	})
	if err != nil {
		return batholith.Answer{}, t.unusable(err, body)
	}
	answer.Source = t.l.source(answer.Model, "", call.Changes)
	t.Used(answer.Tokens)
	return answer, nil
}

// translate makes a request, and turns what is wrong with the body into the error of Interact.
func (t *Turn) translate(request func() (batholith.Call, error)) (call batholith.Call, err error) {
	err = batholith.Guard("translate a call for the model server", func() (err error) {
		defer t.l.d.o.Room.Alone(len(t.call.input))()
		call, err = request()
		call.Media = t.call.media
		return err
	})
	if err != nil {
		return call, t.broken(recordError(err))
	}
	return call, nil
}

// Do sends a call and returns the body of its answer. If the server refuses an optional member of the request, it is sent again without it,
// like that of a record; call is the request that was answered.
func (t *Turn) Do(ctx context.Context, call *batholith.Call) (body []byte, err error) {
	call.Room = t.room
	if t.room == nil {
		t.room = &room{l: t.l, flight: &t.flight, b: t.l.d.o.Room}
		call.Room = t.room
	}
	err = t.exchange(ctx, call, func() (err error) {
		body, err = t.backend.Do(ctx, *call)
		return err
	})
	call.Took = t.flight.Took()
	return body, err
}

// Stream sends a call, and calls each with every event of the answer (see Streamer). request makes the call for the backend's name of the
// model.
func (t *Turn) Stream(ctx context.Context, request func(model string) (batholith.Call, error), each func(data []byte) error) (batholith.Call, error) {
	s, ok := t.backend.(Streamer)
	if !ok {
		return batholith.Call{}, fmt.Errorf("the backend %s cannot pass answers on as they come", t.backend)
	}
	call, err := t.translate(func() (batholith.Call, error) { return request(t.Model()) })
	if err != nil {
		return call, err
	}
	err = t.exchange(ctx, &call, func() error { return s.Stream(ctx, call, each) })
	call.Took = t.flight.Took()
	return call, err
}

// exchange calls send, which sends the call, and again without an optional member that the server refuses.
func (t *Turn) exchange(ctx context.Context, call *batholith.Call, send func() error) error {
	t.once = call.ServerTools
	*call = dialect.Without(*call, batholith.Spare(t.l.spared.Load()))
	for without := batholith.Spare(0); ; {
		t.sets(ctx)
		t.span.sign(call)
		err := batholith.Guard("read an answer", send)
		t.lands()
		if err == nil {
			t.l.spared.Or(uint32(without))
			return nil
		}
		f, ok := errors.AsType[*batholith.Failure](err)
		if !ok || t.begun || ctx.Err() != nil {
			return t.broken(err)
		}
		refused := dialect.Refused(*call, f)
		if refused == 0 {
			return err
		}
		t.span.end(batholith.Tokens{}, err)
		without |= refused
		*call = dialect.Without(*call, refused)
		t.l.limit.Succeeded(t.flight, 0) // the server works
	}
}

// sets notes that a request is sent now.
func (t *Turn) sets(ctx context.Context) {
	if tracer := t.l.d.o.Tracer; tracer != nil {
		t.span.parent, t.span.done = tracer.Call(ctx, batholith.Attempt{Model: t.l.model, Backend: t.backend.String(), Path: t.call.class.path, Protocol: t.backend.Protocol(), Number: 1})
	}
	t.flight = t.l.limit.Begin()
	t.asked, t.flying = true, true
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	t.l.begun++
	t.sole = t.l.limit.InFlight() == 1 && t.l.canary.flying == 0
	t.l.at(t.call.class).sent(t.flight.Sent())
	t.l.d.flying.Add(1)
}

// lands notes that the request has ended.
func (t *Turn) lands() {
	if !t.flying {
		return
	}
	t.flying = false
	t.l.limit.Land(&t.flight)
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	t.l.at(t.call.class).flying--
	t.l.d.flying.Add(-1)
}

// release gives the memory of the answer back.
func (t *Turn) release() {
	if t.room != nil {
		t.room.release()
	}
}

// unusable is the error for an answer that cannot be translated.
func (t *Turn) unusable(err error, body []byte) error {
	if _, ok := errors.AsType[*batholith.RecordError](err); ok {
		return err
	}
	if _, ok := errors.AsType[*batholith.Broken](err); ok {
		return t.broken(err)
	}
	if errors.Is(err, dialect.ErrModel) && t.call.fixed { // the same request would get the same answer
		return &batholith.RecordError{Code: http.StatusInternalServerError, Message: err.Error()}
	}
	return nonsense(err, body)
}

// broken logs a panic over the call, and returns what the client may read. Other errors are returned as they are.
func (t *Turn) broken(err error) error {
	e, ok := errors.AsType[*batholith.Broken](err)
	if !ok {
		return err
	}
	t.l.d.o.Log.Error("internal error over an interactive call", "model", t.call.serving.Model, "doing", e.Doing, "what", e.What, "stack", e.Stack)
	return &batholith.RecordError{Code: http.StatusInternalServerError, Message: "Batholith could not process this call because of an internal error. Report it with the entry in the server's log"}
}
