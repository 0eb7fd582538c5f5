package dispatch

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
)

// able is implemented by backends that know what their model can do.
type able interface {
	// Abilities asks the server. What it does not say is unknown.
	Abilities(ctx context.Context) batholith.Abilities
}

// asks asks the backend what its model can do. It is called after each probe that was answered, since the server may have been started anew
// with other settings.
func (l *lane) asks(ctx context.Context) {
	if b, ok := l.backend.(able); ok {
		can := b.Abilities(ctx)
		l.can.Store(&can)
	}
}

// beyond returns the error line of a record that no backend of the model can answer, or nil. The settings count before a server's word. A
// backend that says nothing may answer everything, so nothing is refused that could be answered.
func (q *queue) beyond(it *item) (refused *batholith.RecordError) {
	for _, l := range q.lanes {
		var said batholith.Abilities
		if p := l.can.Load(); p != nil {
			said = *p
		}
		why := it.exceeds(q.set.Or(said))
		if why == nil {
			return nil
		}
		refused = why
	}
	return refused
}

// exceeds returns the error line of a record for a model with these abilities, or nil.
func (it *item) exceeds(can batholith.Abilities) *batholith.RecordError {
	bad := func(format string, args ...any) *batholith.RecordError {
		return &batholith.RecordError{Code: http.StatusBadRequest, Message: fmt.Sprintf(format, args...)}
	}
	f := it.class.features
	switch {
	case can.Images == batholith.Unable && f.Has(dialect.FeatureMedia):
		return bad("the model sees no images; choose one that does, or set inputs: [TEXT, IMAGE] if this one does")
	case can.Tools == batholith.Unable && f.Has(dialect.FeatureTools):
		return bad("the model calls no tools; choose one that does, or leave the tools out")
	case can.Context == 0 || len(it.input) < 4*can.Context: // a token that FewestTokens counts has four bytes
		return nil
	case strings.Contains(it.class.path, "embed"): // servers may cut what they embed
		return nil
	}
	if n := dialect.FewestTokens(it.input); n > int64(can.Context) {
		return bad("the prompt has at least %d tokens, and the model's context has %d; shorten it, or choose a model with a larger context", n, can.Context)
	}
	return nil
}
