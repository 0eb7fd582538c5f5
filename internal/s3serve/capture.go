package s3serve

import (
	"bufio"
	"io"
	"log/slog"
	"os"
	"regexp"

	fiberlog "github.com/gofiber/fiber/v3/log"

	"github.com/batholith/batholith/internal/plain"
)

// Capture takes what the gateway prints to the process's standard error and standard output, and what its HTTP library writes to a
// logger of its own, into l, until release is called. Such a line may quote what a client sent; what follows the first quotation is
// cut off, and control characters are shown as escapes. Both streams are global to the process: whoever writes to them for itself keeps a copy of
// os.Stdout and os.Stderr from before. It is called before the server serves, and released after Serve has returned.
func Capture(l *slog.Logger) (release func()) {
	r, w, err := os.Pipe()
	if err != nil {
		l.Warn("embedded S3: what its libraries print is not logged", "error", err)
		return func() {}
	}
	stdout, stderr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = w, w
	fiberlog.SetOutput(w)
	done := make(chan struct{}) // closed when the last line is logged
	go func() {
		defer close(done)
		logPrinted(l, r)
	}()
	return func() {
		os.Stdout, os.Stderr = stdout, stderr
		fiberlog.SetOutput(stderr)
		w.Close()
		<-done
		r.Close()
	}
}

// mostPrinted is how much of a printed line is looked at, in bytes.
const mostPrinted = 4 << 10

// logPrinted logs line by line until the end of r.
func logPrinted(l *slog.Logger, r io.Reader) {
	lines := bufio.NewReaderSize(r, mostPrinted)
	for {
		line, more, err := lines.ReadLine()
		if text := plain.Unquoted(colours.ReplaceAllString(string(line), "")); text != "" {
			l.Warn("embedded S3: a library says", "line", text)
		}
		for more && err == nil {
			_, more, err = lines.ReadLine()
		}
		if err != nil {
			return
		}
	}
}

// colours are what a terminal is told: ESC [ numbers m.
var colours = regexp.MustCompile("\x1b\\[[0-9;]*m?")
