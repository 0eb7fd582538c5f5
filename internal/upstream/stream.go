package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/batholith/batholith"
)

const (
	// maxEvent is the longest event of a stream, in bytes.
	maxEvent = 8 << 20
	// maxStream is the longest stream, in bytes. The events of a token take about 50 times as many
	// bytes as its text.
	maxStream = 512 << 20
	// maxSilence bounds the time between two events. A server whose queue is full is silent before
	// the first event, not after it.
	maxSilence = 2 * time.Minute
	// lingering is how long the end of the HTTP answer may come after the stream's last event. If
	// it comes in this time, the connection can be used again.
	lingering = 100 * time.Millisecond
)

var (
	tooLongEvent  = fmt.Sprintf("has an event that is longer than %d MiB", maxEvent>>20)
	tooLongStream = fmt.Sprintf("is longer than %d MiB", maxStream>>20)
)

// errSilent is the cause of the attempt's context when a stream has paused for too long.
var errSilent = errors.New("the stream is silent")

// errLingering is the cause when the HTTP answer has not ended in time after the last event.
var errLingering = errors.New("the stream has ended, but not its connection")

// Stream sends one call whose answer is a stream, and calls each for every event as it comes, on
// the caller's goroutine. data is only valid during the call. each returns io.EOF if the event was
// the last one, any other error to give up.
//
// Stream returns nil if the answer ended regularly, or after io.EOF. If the server does not
// stream, its whole answer is one event. Failures are those of [Backend.Do]; each reports a stream
// that ends in the middle of an answer, because only its protocol tells. Stream returns an error
// of each unchanged, and the cause of ctx if that was cancelled.
//
// The backend's timeout bounds the whole stream, and maxSilence the time between two events.
func (b *Backend) Stream(ctx context.Context, call batholith.Call, each func(data []byte) error) error {
	attempt, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := newPatience(b.o.Timeout, nil, cancel)
	defer p.timer.Stop()
	s := b.newSending()
	f := &following{b: b, each: each, cancel: cancel}
	sent, err := b.patched(attempt, call.Body)
	if err != nil {
		return err
	}
	call.Body = sent
	req, client, err := b.request(attempt, call, s)
	if err == nil {
		req.Header.Set("Accept", streamTypes)
		_, err = b.exchange(client, req, call.Body, s, f.read)
	}
	switch {
	case err == nil || f.ended:
		return nil
	case f.failed != nil:
		return f.failed
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	if m, ok := errors.AsType[*batholith.MediaError](err); ok {
		return m
	}
	return b.classify(attempt, err, s)
}

// streamTypes is the Accept header of a request for a stream.
const streamTypes = "text/event-stream, " + frameType + ", application/x-ndjson, application/json"

// following reads the stream of one answer.
type following struct {
	b      *Backend
	each   func([]byte) error
	cancel context.CancelCauseFunc
	silent *time.Timer // nil before the first event
	failed error       // of each
	ended  bool        // each returned io.EOF
}

// read reads the body of a 200 answer. The result is always nil: each has got the events.
func (f *following) read(resp *http.Response) ([]byte, error) {
	lines := &eventReader{emit: f.event}
	switch kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind {
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines", "application/json-lines", "application/json-seq":
		lines.form = formLines
	case "application/json":
		lines.form = formWhole
	case frameType:
		defer f.rest()
		return nil, f.frames(resp.Body)
	}
	defer f.rest()
	buf := make([]byte, bufferSize)
	for total := 0; ; {
		n, err := resp.Body.Read(buf)
		f.heard()
		if total += n; total > maxStream {
			return nil, &mangled{how: tooLongStream}
		}
		if e := lines.feed(buf[:n]); e != nil {
			f.drain(resp.Body)
			return nil, e
		}
		if err == io.EOF {
			return nil, lines.end()
		}
		if err != nil {
			return nil, err
		}
	}
}

// heard starts the time of silence again. It counts from the first event, since servers send the
// head of their answer while the request waits in their queue.
func (f *following) heard() {
	if f.silent != nil {
		f.silent.Reset(f.b.silence())
	}
}

// rest ends the time of silence.
func (f *following) rest() {
	if f.silent != nil {
		f.silent.Stop()
	}
}

// silence is the longest time between two events.
func (b *Backend) silence() time.Duration { return min(maxSilence, b.o.Timeout) }

// drain reads what follows the last event: usually the end of the HTTP answer, so that the
// connection is used again.
func (f *following) drain(body io.Reader) {
	if !f.ended {
		return
	}
	late := time.AfterFunc(lingering, func() { f.cancel(errLingering) })
	defer late.Stop()
	_, _ = io.CopyN(io.Discard, body, bufferSize) // an error means that the connection is not used again
}

// event handles one event. name is the SSE event's name.
func (f *following) event(name string, data []byte) error {
	if e, ok := errorInside(data); ok {
		return &refusal{status: e.status(), inside: true, said: e}
	}
	if name == "error" {
		e := readSaid(data)
		return &refusal{status: e.status(), inside: true, said: e}
	}
	f.rest() // a client that reads slowly is no silence of the server
	err := f.each(data)
	if f.silent == nil {
		f.silent = time.AfterFunc(f.b.silence(), func() { f.cancel(errSilent) })
	}
	f.heard()
	switch {
	case errors.Is(err, io.EOF):
		f.ended = true
	case err != nil:
		f.failed = err
	}
	return err
}

// The forms of a stream.
const (
	formUnknown = iota // SSE, unless the answer begins with a brace
	formEvents         // SSE (WHATWG HTML, section 9.2)
	formLines          // NDJSON: each line is an event
	formWhole          // one JSON value: the server does not stream
)

// eventReader divides the bytes of a stream into events, wherever reads cut them. It holds at
// most one event.
type eventReader struct {
	emit func(name string, data []byte) error
	form int

	line    []byte // the line that has not ended yet; with formWhole the whole answer
	data    []byte // data lines of the event
	name    string // name of the event
	has     bool   // the event has data
	started bool   // the first byte was seen, so that there is no byte order mark any more
	cr      bool   // the last line ended with a carriage return, so a line feed belongs to it
}

// feed reads more bytes.
func (r *eventReader) feed(b []byte) error {
	for len(b) > 0 {
		if r.form == formWhole {
			return r.grow(b)
		}
		if r.cr && b[0] == '\n' {
			b = b[1:]
		}
		r.cr = false
		n := bytes.IndexAny(b, "\r\n")
		if n < 0 {
			return r.grow(b)
		}
		r.cr = b[n] == '\r'
		if err := r.grow(b[:n]); err != nil {
			return err
		}
		if r.form == formWhole { // a JSON value on several lines
			return r.grow(b[n:])
		}
		b = b[n+1:]
		if err := r.ended(); err != nil {
			return err
		}
	}
	return nil
}

// grow adds bytes to the line. The first byte that is no white space tells the form.
func (r *eventReader) grow(b []byte) error {
	if len(r.line)+len(b)+len(r.data) > maxEvent {
		return &mangled{how: tooLongEvent}
	}
	r.line = append(r.line, b...)
	if r.form != formUnknown {
		return nil
	}
	line := bytes.TrimLeft(bytes.TrimPrefix(r.line, byteOrderMark), " \t")
	if len(line) > 0 && !bytes.HasPrefix(byteOrderMark, line) {
		if r.form = formEvents; line[0] == '{' {
			r.form = formWhole
		}
	}
	return nil
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// ended handles a line that has ended.
func (r *eventReader) ended() error {
	line := r.line
	r.line = r.line[:0]
	if !r.started {
		r.started = true
		line = bytes.TrimPrefix(line, byteOrderMark)
	}
	if r.form == formLines {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			return nil
		}
		return r.emit("", line)
	}
	if len(line) == 0 {
		return r.dispatch()
	}
	field, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(field) {
	case "data":
		if r.has {
			r.data = append(r.data, '\n')
		}
		r.data, r.has = append(r.data, value...), true
	case "event":
		r.name = string(value[:min(len(value), 64)])
	case "error": // llama.cpp before 2025
		r.name, r.data, r.has = "error", append(r.data[:0], value...), true
	}
	return nil // comments keep the connection alive; other fields do not matter
}

// dispatch hands over the event that a blank line ends.
func (r *eventReader) dispatch() error {
	name, data, has := r.name, r.data, r.has
	r.name, r.data, r.has = "", r.data[:0], false
	if !has || len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	return r.emit(name, data)
}

// end handles what follows the last line break. Many servers leave out the blank line after their
// last event.
func (r *eventReader) end() error {
	switch r.form {
	case formWhole:
		whole := bytes.TrimSpace(bytes.TrimPrefix(r.line, byteOrderMark))
		if len(whole) == 0 {
			return nil
		}
		return r.emit("", whole)
	case formUnknown:
		return nil
	}
	if len(r.line) > 0 {
		if err := r.ended(); err != nil {
			return err
		}
	}
	if r.form == formLines {
		return nil
	}
	return r.dispatch()
}
