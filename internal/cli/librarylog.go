package cli

import (
	"log"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/batholith/batholith/internal/plain"
)

// libraryLines is an io.Writer that passes the messages of Go's package log, which libraries use, to our own log.
// A message may quote what a peer sent: net/http logs the beginning of an answer that is longer than announced,
// and that may be a prompt. So a message is cut where its first quotation begins. Peers can cause any number of
// messages, so at most linesAMinute are logged per minute and the others are counted.
type libraryLines struct {
	log *slog.Logger

	mu      sync.Mutex
	began   time.Time // of the current minute
	written int       // lines logged in it
	left    int       // lines not logged since the last that was
}

// linesAMinute is the number of messages of libraries that are logged per minute.
const linesAMinute = 10

// captureLibraryLog directs package log to l until restore is called. Package log is global to the process, so
// calls must be nested.
func captureLibraryLog(l *slog.Logger) (restore func()) {
	out, flags, prefix := log.Writer(), log.Flags(), log.Prefix()
	log.SetOutput(&libraryLines{log: l})
	log.SetFlags(0)
	log.SetPrefix("")
	return func() {
		log.SetOutput(out)
		log.SetFlags(flags)
		log.SetPrefix(prefix)
	}
}

// Write implements [io.Writer]. It takes one whole message.
func (l *libraryLines) Write(message []byte) (int, error) {
	left, ok := l.take(time.Now())
	if !ok {
		return len(message), nil
	}
	text, stack, panicked := strings.Cut(strings.TrimSpace(string(message)), "\ngoroutine ")
	attrs := []any{"line", plain.Unquoted(text)}
	if panicked {
		attrs = append(attrs, "stack", "goroutine "+stack)
	}
	if left > 0 {
		attrs = append(attrs, "left_out_before", left)
	}
	l.log.Warn("a library says", attrs...)
	return len(message), nil
}

// take reports whether a message may be logged now, and if so, how many were left out since the last one.
func (l *libraryLines) take(now time.Time) (left int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.began) >= time.Minute {
		l.began, l.written = now, 0
	}
	if l.written >= linesAMinute {
		l.left++
		return 0, false
	}
	l.written++
	left, l.left = l.left, 0
	return left, true
}
