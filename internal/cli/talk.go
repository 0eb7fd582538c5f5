package cli

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/batholith/batholith/internal/plain"
)

// talkHandler is the log handler of commands that a person watches. It writes records in the form of the command's
// other messages: "batholith: warning: MESSAGE: WHY (KEY VALUE, …)".
type talkHandler struct {
	a     *app
	level slog.Level
	room  func() // takes the progress bar away
	attrs []slog.Attr

	mu *sync.Mutex // held while a line is written; shared by all that WithAttrs makes
}

// Enabled reports whether records of a level are written.
func (h *talkHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

// Handle writes one record as one line, after it has removed the progress bar. The attributes why, err and error
// stand behind the message; the others follow in brackets.
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

// WithAttrs returns a handler that adds attrs to each line. It shares the lock of h.
func (h *talkHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	more := *h
	more.attrs = append(append([]slog.Attr{}, h.attrs...), attrs...)
	return &more
}

// WithGroup returns h: a prefix of keys means nothing to a person.
func (h *talkHandler) WithGroup(string) slog.Handler { return h }
