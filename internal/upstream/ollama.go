package upstream

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/batholith/batholith"
)

// contexts keeps the size of the context with which Ollama has the model loaded. Ollama loads a
// model anew for a request with another size, which takes seconds and interrupts other clients. So
// the size only grows, to what the largest request so far needs:
//
//	num_ctx = min(max(need of the request, sizes of earlier requests, size in use), length that the model was trained for)
type contexts struct {
	mu    sync.Mutex
	asked bool // what is loaded
	now   int64
}

// contextHead is the beginning of Ollama's requests, which package dialect writes.
const contextHead = `{"options":{"num_ctx":`

// fitModel replaces the size of the context in a request by one that fits the model. It refuses
// images for a model that would ignore them.
func fitModel(ctx context.Context, b *Backend, body []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(body, []byte(contextHead))
	if !ok {
		return body, nil
	}
	end := bytes.IndexAny(rest, ",}")
	if end < 0 {
		return body, nil
	}
	need, err := strconv.ParseInt(string(rest[:end]), 10, 64)
	if err != nil {
		return body, nil
	}
	size, blind := b.contexts.grow(ctx, b, need)
	if blind && bytes.Contains(rest, []byte(`"images":["`)) { // no text of a record has quotes that are not escaped
		f := failure(batholith.FailureBadRecord, "serve a model that sees images, or leave them out", "the model %s on %s sees no images, and Ollama would ignore them", b.o.Model, b.host)
		f.Status = http.StatusBadRequest
		return nil, f
	}
	if size == need {
		return body, nil
	}
	out := append(make([]byte, 0, len(body)+8), contextHead...)
	return append(strconv.AppendInt(out, size, 10), rest[end:]...), nil
}

// grow returns the size of the context for a request, and whether the model is known to see no
// images.
func (c *contexts) grow(ctx context.Context, b *Backend, need int64) (size int64, blind bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.asked {
		c.now = max(c.now, b.loaded(ctx))
		c.asked = ctx.Err() == nil
	}
	can := b.can.Load()
	if can == nil { // the probes have not asked yet
		said := b.Abilities(ctx)
		can = &said
	}
	c.now = max(c.now, need)
	if can.Context > 0 {
		c.now = min(c.now, int64(can.Context))
	}
	return c.now, can.Images == batholith.Unable
}

// loaded returns the context of the model that is loaded at present; 0: none, or not known.
func (b *Backend) loaded(ctx context.Context) int64 {
	body, _, err := b.ask(ctx, b.address("/api/ps"))
	var doc struct {
		Models []struct {
			Name    string `json:"name"`
			Context int64  `json:"context_length"`
		} `json:"models"`
	}
	if err != nil || json.Unmarshal(body, &doc, lenient) != nil {
		return 0
	}
	for _, m := range doc.Models {
		if (listed{ID: m.Name}).answersTo(b.o.Model) {
			return max(m.Context, 0)
		}
	}
	return 0
}
