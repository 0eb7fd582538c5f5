package cli

import (
	"log"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/batholith/batholith/internal/plain"
)

// libraryLines takes what libraries write with the standard library's package log, line by line, to our own log. Such a line may quote
// what a peer has sent: net/http logs the first kilobytes of an answer that is longer than it announced, and these may hold a prompt. So
// a line is cut where its first quotation begins. Peers can cause as many lines as they like: a few a minute are logged, the rest is
// counted.
type libraryLines struct {
	log *slog.Logger

	mu      sync.Mutex
	began   time.Time // of the current minute
	written int       // lines logged in it
	left    int       // lines not logged since the last that was
}

// linesAMinute is how many lines of libraries are logged in a minute.
const linesAMinute = 10

// captureLibraryLog has package log write to l, until the returned function is called. Package log is global to the process.
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

// take tells whether a line may be logged now, and how many before it were not.
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
