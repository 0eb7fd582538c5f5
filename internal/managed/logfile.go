package managed

import (
	"bytes"
	"os"
	"regexp"
	"strconv"
	"sync"

	"github.com/batholith/batholith/internal/plain"
)

// Bounds of what is kept of a server's output.
const (
	logBytes  = 10 << 20 // of NAME.log, which is then set aside as NAME.log.1
	keptLines = 12       // last lines in memory
	lineBytes = 300      // of each of them
)

// output is a server's standard output and error: a file of mode 0600, and the last lines. Errors of the disk are dropped: a server must
// not stop because its log cannot be written.
type output struct {
	path string
	most int64 // bytes of the file

	mu      sync.Mutex
	f       *os.File // nil: not open
	bytes   int64
	line    []byte // the beginning of a line without its end
	last    []string
	percent int
}

// newOutput returns the output that is appended to a file.
func newOutput(path string) *output { return &output{path: path, most: logBytes} }

// Write appends to the file. It never fails.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.append(p)
	o.split(p)
	return len(p), nil
}

// append writes to the file, and sets a full one aside.
func (o *output) append(p []byte) {
	if o.f != nil && o.bytes > 0 && o.bytes+int64(len(p)) > o.most {
		o.f.Close()
		o.f = nil
		_ = os.Rename(o.path, o.path+".1") // on failure the file grows on
	}
	if o.f == nil {
		f, err := os.OpenFile(o.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return
		}
		o.f, o.bytes = f, 0
		if info, err := f.Stat(); err == nil {
			o.bytes = info.Size()
		}
	}
	n, err := o.f.Write(p)
	if o.bytes += int64(n); err != nil {
		o.f.Close()
		o.f = nil
	}
}

// percentage matches the progress that servers print while they load.
var percentage = regexp.MustCompile(`\b(\d{1,3})(?:\.\d+)?\s?%`)

// split keeps the last lines. A progress bar ends its lines with a carriage return.
func (o *output) split(p []byte) {
	for len(p) > 0 {
		end := bytes.IndexAny(p, "\r\n")
		part := p
		if end >= 0 {
			part = p[:end]
		}
		o.line = append(o.line, part[:min(len(part), max(lineBytes-len(o.line), 0))]...)
		if end < 0 {
			return
		}
		p = p[end+1:]
		o.ended()
	}
}

// ended takes in a whole line.
func (o *output) ended() {
	text := plain.Short(string(bytes.TrimSpace(o.line)), lineBytes)
	o.line = o.line[:0]
	if text == "" {
		return
	}
	if all := percentage.FindAllStringSubmatch(text, -1); all != nil {
		if n, _ := strconv.Atoi(all[len(all)-1][1]); n <= 100 {
			o.percent = n
		}
	}
	if o.last = append(o.last, text); len(o.last) > keptLines {
		o.last = o.last[1:]
	}
}

// begin forgets the lines of earlier processes.
func (o *output) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.line, o.last, o.percent = nil, nil, 0
}

// lines returns the last lines, also one without an end.
func (o *output) lines() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(bytes.TrimSpace(o.line)) > 0 {
		o.ended()
	}
	return append([]string(nil), o.last...)
}

// loaded returns the latest percentage, 0 if none was printed.
func (o *output) loaded() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.percent
}

// close closes the file.
func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.f != nil {
		o.f.Close()
		o.f = nil
	}
}
