package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/dispatch"
	"github.com/batholith/batholith/internal/memory"
	"github.com/batholith/batholith/internal/runtime"
	"github.com/batholith/batholith/internal/upstream"
)

// interactive gives interactive calls to the dispatcher. It implements runtime.Lanes.
type interactive struct {
	e     *Engine
	known atomic.Pointer[sync.Map] // of dispatch.Serving, by served; a reload replaces it
}

// newInteractive returns what gives calls to the dispatcher of e.
func newInteractive(e *Engine) *interactive {
	c := &interactive{e: e}
	c.forget()
	return c
}

// forget drops what is known of the models, after they have changed.
func (c *interactive) forget() { c.known.Store(&sync.Map{}) }

// served is what is known in interactive.
type served struct {
	model string
	typ   batholith.InvocationType
}

// joinCalls makes what answers interactive calls in a process without a worker: lanes to the model servers that no job uses. They share the
// servers with the lanes of the workers as those do with each other. The id is new at each start, since nothing survives this process.
func (e *Engine) joinCalls() {
	o := e.o
	e.id = "api-" + strings.ToLower(rand.Text())[:10]
	var room *memory.Budget
	if o.Memory > 0 {
		room = memory.NewBudget(o.Memory)
		e.room = room
	}
	e.dispatch = dispatch.New(dispatch.Options{Worker: e.id, Store: jobless{o.Store}, Sink: noOutcomes{}, Memory: o.Store, Loads: o.Store, Log: o.Log, Canary: dialect.Canary,
		Drain: o.Drain, Room: room, Tracer: o.Tracer, Listener: o.Listener})
	e.calls = newInteractive(e)
}

// jobless is the store of a process that runs no jobs.
type jobless struct{ dispatch.Store }

// Unfinished lists nothing.
func (jobless) Unfinished(context.Context) ([]batholith.Job, error) { return nil, nil }

// Tagged lists nothing.
func (jobless) Tagged(context.Context, string) (map[string]string, error) { return nil, nil }

// noOutcomes is the sink of a process that runs no jobs. It never gets an outcome.
type noOutcomes struct{}

// Add fails.
func (noOutcomes) Add(context.Context, batholith.Outcome) error {
	return errors.New("this process runs no jobs")
}

// Flush has nothing to do.
func (noOutcomes) Flush(context.Context, string) error { return nil }

// Models returns the models of the process.
func (e *Engine) Models() *Models { return e.o.Models }

// Calls returns how interactive calls reach the models; nil in a process without an API and without a worker.
func (e *Engine) Calls() runtime.Lanes {
	if e.calls == nil {
		return nil
	}
	return e.calls
}

// Interact implements runtime.Lanes.
func (c *interactive) Interact(ctx context.Context, a runtime.Ask, do func(context.Context, runtime.Turn) error) error {
	s, err := c.serving(a.Model, a.Type)
	if err != nil {
		return err
	}
	return c.e.dispatch.Interact(ctx, s, c.request(a), func(ctx context.Context, turn *dispatch.Turn) error { return do(ctx, turn) })
}

// Count implements runtime.Lanes.
func (c *interactive) Count(ctx context.Context, a runtime.Ask) (int64, bool, error) {
	s, err := c.serving(a.Model, a.Type)
	if err != nil {
		return 0, false, err
	}
	return c.e.dispatch.Count(ctx, s, c.request(a))
}

// request returns a call as package dispatch wants it.
func (c *interactive) request(a runtime.Ask) dispatch.Request {
	r := dispatch.Request{Body: a.Body}
	if media := c.e.o.Media; media != nil {
		r.Media = func(ctx context.Context, uri, owner string) (blob.Readable, string, *batholith.RecordError) {
			return media(ctx, a.Who, uri, owner)
		}
	}
	return r
}

// started reports whether a worker starts the server of a backend.
func started(b dispatch.Backend) bool {
	u, ok := b.(*upstream.Backend)
	return ok && u.Started()
}

// serving finds the backends of a model for calls of a type. A model that cannot take the type is the error of the call.
func (c *interactive) serving(model string, t batholith.InvocationType) (dispatch.Serving, error) {
	found := c.known.Load() // before the models are read: what is stored in it after a reload is not used any more
	s, ok := c.e.o.Models.Serving(model)
	if !ok {
		return dispatch.Serving{}, fmt.Errorf("the model %s is not served here", model)
	}
	key := served{s.Model.ID, t}
	if known, ok := found.Load(key); ok {
		return known.(dispatch.Serving), nil
	}
	able, dialects, err := s.ForCalls(t)
	if err != nil {
		return dispatch.Serving{}, &batholith.RecordError{Code: 400, Message: err.Error()}
	}
	serving := dispatch.Serving{Model: s.Model.ID, Set: s.Model.Set, Dialect: func(protocol string) dialect.Dialect { return dialects[protocol] }}
	for _, b := range able {
		serving.Backends = append(serving.Backends, b)
	}
	if !c.e.o.Worker {
		serving.Backends = slices.DeleteFunc(serving.Backends, started)
		if len(serving.Backends) == 0 {
			return serving, &batholith.NotReadyError{Why: "its model server is started only by workers (exec), and this process is not a worker; send the call to a process with both roles"}
		}
	}
	if len(serving.Backends) < len(s.Backends) {
		serving.Type = t
	}
	found.Store(key, serving)
	return serving, nil
}
