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

// Capture redirects to l what the gateway prints to os.Stdout and os.Stderr, and what its HTTP
// library logs, until release is called. Printed lines may quote a client, so everything from
// the first quotation mark is cut off, and control characters are escaped. Both streams are
// global: code that writes to them itself must keep the old values. Call Capture before the
// server serves, and release after Serve has returned.
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

// mostPrinted is how many bytes of a printed line are logged.
const mostPrinted = 4 << 10

// logPrinted logs each line until the end of r.
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

// colours matches terminal colour sequences: ESC [ numbers m.
var colours = regexp.MustCompile("\x1b\\[[0-9;]*m?")
