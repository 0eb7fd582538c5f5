package dispatch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
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

// abilities are what the lane's model can do for a queue or a call: the settings count before a server's word. A server that says nothing may
// be able to do everything.
func (l *lane) abilities(set batholith.Abilities) batholith.Abilities {
	if said := l.can.Load(); said != nil {
		return set.Or(*said)
	}
	return set
}

// need is what a request asks of a model.
type need struct {
	path     string
	features dialect.Features
	input    []byte
	tokens   *int64 // the fewest of input; 0: not counted yet
}

// need returns what the record asks of a model.
func (it *item) need() need {
	return need{path: it.class.path, features: it.class.features, input: it.input, tokens: &it.fewest}
}

// beyond returns the error line of a record that no backend of the model can answer, or nil. So nothing is refused that could be answered.
func (q *queue) beyond(it *item) (refused *batholith.RecordError) {
	return it.need().beyond(carrying(q.lanes(), it.barred), q.set())
}

// carrying returns the lanes whose protocols are not barred.
func carrying(lanes []*lane, barred []string) []*lane {
	if len(barred) == 0 {
		return lanes
	}
	return slices.DeleteFunc(slices.Clone(lanes), func(l *lane) bool { return slices.Contains(barred, l.backend.Protocol()) })
}

// bar adds the lane's protocol to the barred ones, and reports whether a lane with another protocol is left. Protocols differ in what they can
// carry: a prompt with a template's marks needs one that has completions.
func bar(barred []string, l *lane, lanes []*lane) ([]string, bool) {
	more := append(slices.Clip(barred), l.backend.Protocol())
	if len(carrying(lanes, more)) == 0 {
		return barred, false
	}
	return more, true
}

// passedOn reports whether a record whose body the lane's protocol cannot carry is left to a lane with another protocol.
func (it *item) passedOn(l *lane, err error) (ok bool) {
	if refused, is := errors.AsType[*batholith.RecordError](err); !is || refused.Code != http.StatusBadRequest {
		return false
	}
	it.barred, ok = bar(it.barred, l, it.feed.queue.lanes())
	return ok
}

// beyond returns the error line of a request that none of the lanes can answer, or nil.
func (n need) beyond(lanes []*lane, set batholith.Abilities) *batholith.RecordError {
	var can batholith.Abilities
	for _, l := range lanes {
		if can = l.abilities(set); n.lacks(can) == lacksNothing {
			return nil
		}
	}
	return n.exceeds(can)
}

// differ reports whether the lanes differ in what they can do. Then each record goes only to a lane that can answer it.
func differ(lanes []*lane, set batholith.Abilities) bool {
	for _, l := range lanes[min(1, len(lanes)):] {
		if l.abilities(set) != lanes[0].abilities(set) || l.backend.Protocol() != lanes[0].backend.Protocol() {
			return true
		}
	}
	return false
}

// looksForScarce is the number of records among which a lane looks for one that another usable lane cannot answer.
const looksForScarce = 64

// suited returns the position of the record that the lane sends next, at or after a position (cyclically), or -1. Lanes that differ take the
// records first that the others cannot answer, so that the last records are not left to one of them. The caller holds queue.mu.
func (f *feed) suited(l *lane, at int) int {
	if !f.mayHave(l) {
		return -1
	}
	items, lanes := f.ready.items, f.queue.lanes()
	others := slices.DeleteFunc(slices.Clone(lanes), func(m *lane) bool { return m == l || !m.usable() || rests(m, lanes) })
	first, looked := -1, 0
	for i := range items {
		at := (at + i) % len(items)
		it := items[at]
		if l.paused.Load() > 0 && !l.takes(it.class) || !f.queue.suits(l, it) {
			continue
		}
		if first < 0 {
			first = at
		}
		if slices.ContainsFunc(others, func(m *lane) bool { return !f.queue.suits(m, it) }) {
			return at
		}
		if looked++; looked >= looksForScarce {
			break
		}
	}
	return first
}

// mayHave reports whether the window has a record of a class that the lane can answer. The caller holds queue.mu.
func (f *feed) mayHave(l *lane) bool {
	can := l.abilities(f.queue.set())
	for c, n := range f.ready.count {
		kind := need{path: c.path, features: c.features}
		if n > 0 && (kind.lacks(can) == lacksNothing || kind.beyond(f.queue.lanes(), f.queue.set()) != nil) {
			return true
		}
	}
	return false
}

// suits reports whether a lane may be sent a record: it can answer it, or no lane can, and then the record ends there with an error line.
func (q *queue) suits(l *lane, it *item) bool {
	if slices.Contains(it.barred, l.backend.Protocol()) {
		return false
	}
	return it.need().lacks(l.abilities(q.set())) == lacksNothing || q.beyond(it) != nil
}

// lack is an ability that a model would need for a request.
type lack int

const (
	lacksNothing lack = iota
	lacksImages
	lacksTools
	lacksContext // of so many tokens
)

// lacks returns what a model with these abilities lacks for a request.
func (n need) lacks(can batholith.Abilities) lack {
	switch {
	case can.Images == batholith.Unable && n.features.Has(dialect.FeatureMedia):
		return lacksImages
	case can.Tools == batholith.Unable && n.features.Has(dialect.FeatureTools):
		return lacksTools
	case can.Context == 0 || len(n.input) < 4*can.Context: // a token that FewestTokens counts has four bytes
		return lacksNothing
	case strings.Contains(n.path, "embed"): // servers may cut what they embed
		return lacksNothing
	}
	if *n.tokens == 0 {
		*n.tokens = dialect.FewestTokens(n.input)
	}
	if *n.tokens > int64(can.Context) {
		return lacksContext
	}
	return lacksNothing
}

// exceeds returns the error line of a request for a model with these abilities, or nil.
func (n need) exceeds(can batholith.Abilities) *batholith.RecordError {
	bad := func(format string, args ...any) *batholith.RecordError {
		return &batholith.RecordError{Code: http.StatusBadRequest, Message: fmt.Sprintf(format, args...)}
	}
	switch n.lacks(can) {
	case lacksImages:
		return bad("the model sees no images; choose one that does, or set inputs: [TEXT, IMAGE] if this one does")
	case lacksTools:
		return bad("the model calls no tools; choose one that does, or leave the tools out")
	case lacksContext:
		return bad("the prompt has at least %d tokens, and the model's context has %d; shorten it, or choose a model with a larger context", *n.tokens, can.Context)
	}
	return nil
}
