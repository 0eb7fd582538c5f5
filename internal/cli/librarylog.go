package cli

import (
	"log"
	"log/slog"
	"strings"
)

// libraryLines takes what libraries write with the standard library's package log, line by line, to our own log. Such a line may quote
// what a peer has sent: net/http logs the first kilobytes of an answer that is longer than it announced, and these may hold a prompt. So
// a line is cut where its first quotation begins.
type libraryLines struct{ log *slog.Logger }

// captureLibraryLog has package log write to l, until the returned function is called. Package log is global to the process.
func captureLibraryLog(l *slog.Logger) (restore func()) {
	out, flags, prefix := log.Writer(), log.Flags(), log.Prefix()
	log.SetOutput(libraryLines{l})
	log.SetFlags(0)
	log.SetPrefix("")
	return func() {
		log.SetOutput(out)
		log.SetFlags(flags)
		log.SetPrefix(prefix)
	}
}

// Write implements [io.Writer]. It takes one whole message.
func (l libraryLines) Write(message []byte) (int, error) {
	text := strings.TrimSpace(string(message))
	if i := strings.IndexAny(text, "\"`\n"); i >= 0 {
		text = strings.TrimSpace(text[:i]) + " […]"
	}
	l.log.Warn("a library says", "line", text)
	return len(message), nil
}
