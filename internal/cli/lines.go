package cli

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// lines passes the lines of net/http, which knows only the standard library's log, to our logger. Strangers and model servers can
// make it write as many as they like, so a few a minute are logged and the others counted.
type lines struct {
	log *slog.Logger

	mu      sync.Mutex
	began   time.Time // of the present minute
	written int       // in it
	left    int       // lines that were not logged since the last that was
}

const linesAMinute = 5

func newLines(log *slog.Logger) *lines { return &lines{log: log} }

// Write takes one line.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.began) >= time.Minute {
		l.began, l.written = now, 0
	}
	if l.written >= linesAMinute {
		l.left++
		return len(p), nil
	}
	l.written++
	l.log.Warn("HTTP library", "says", l.clean(string(p)))
	return len(p), nil
}

// clean takes from a line what came over the wire, which may be part of an answer or of a prompt, and adds how many lines were left
// out.
func (l *lines) clean(line string) string {
	line, _, _ = strings.Cut(strings.TrimSpace(line), " starting with ")
	if l.left > 0 {
		line += fmt.Sprintf(" (%d lines before it are left out)", l.left)
		l.left = 0
	}
	return line
}
