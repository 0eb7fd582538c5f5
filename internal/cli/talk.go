package cli

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/batholith/batholith/internal/plain"
)

// talkHandler writes the log of a command that a person watches, in the form of everything else that is said there:
// "batholith: warning: MESSAGE: WHY (KEY VALUE, …)".
type talkHandler struct {
	a     *app
	level slog.Level
	room  func() // takes the progress bar away
	attrs []slog.Attr

	mu *sync.Mutex // held while a line is written; shared by all that WithAttrs makes
}

// Enabled is part of slog.Handler, as are Handle, WithAttrs and WithGroup.
func (h *talkHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

// Handle writes one line. What tells the reason goes before the rest.
func (h *talkHandler) Handle(_ context.Context, r slog.Record) error {
	text, rest := plain.Line(r.Message), []string{}
	take := func(a slog.Attr) bool {
		switch a.Key {
		case "why", "err", "error":
			text += ": " + plain.Line(a.Value.String())
		default:
			rest = append(rest, plain.Line(strings.ReplaceAll(a.Key, "_", " ")+" "+a.Value.String()))
		}
		return true
	}
	for _, a := range h.attrs {
		take(a)
	}
	r.Attrs(take)
	if len(rest) > 0 {
		text += fmt.Sprintf(" (%s)", strings.Join(rest, ", "))
	}
	kind := strings.ToLower(r.Level.String())
	if kind == "warn" {
		kind = "warning"
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.room()
	h.a.tell(kind, text)
	return nil
}

// WithAttrs returns a handler that adds these to each line.
func (h *talkHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	more := *h
	more.attrs = append(append([]slog.Attr{}, h.attrs...), attrs...)
	return &more
}

// WithGroup changes nothing: keys are for people here.
func (h *talkHandler) WithGroup(string) slog.Handler { return h }
