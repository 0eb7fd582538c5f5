package upstream

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"sync"

	"github.com/batholith/batholith"
)

// payload is the body of a request: the call's body, with the Base64 of its media in place of their marks. Media
// are read while the request is sent.
type payload struct {
	ctx    context.Context
	pieces []piece

	mu     sync.Mutex
	broken *batholith.MediaError // the first medium that could not be read
}

// piece is a part of the body: text, and the medium after it, if any.
type piece struct {
	text   []byte
	medium *batholith.Medium
}

// newPayload divides the body at the marks. A mark that is not in the body belongs to a member that is not sent.
func newPayload(ctx context.Context, call batholith.Call) *payload {
	p := &payload{ctx: ctx}
	rest := call.Body
	for len(rest) > 0 {
		at, next := len(rest), (*batholith.Medium)(nil)
		for i := range call.Media {
			if n := bytes.Index(rest[:at], []byte(call.Media[i].Mark)); n >= 0 {
				at, next = n, &call.Media[i]
			}
		}
		p.pieces = append(p.pieces, piece{rest[:at], next})
		if next == nil {
			break
		}
		rest = rest[at+len(next.Mark):]
	}
	return p
}

// length is the length of the body in bytes.
func (p *payload) length() (n int64) {
	for _, part := range p.pieces {
		n += int64(len(part.text))
		if part.medium != nil {
			n += (part.medium.Bytes + 2) / 3 * 4 // base64.StdEncoding
		}
	}
	return n
}

// attach makes the payload the body of a request. It may be sent again, for example after a redirect.
func (p *payload) attach(req *http.Request) {
	req.ContentLength = p.length()
	req.GetBody = func() (io.ReadCloser, error) { return &payloadReader{p: p}, nil }
	req.Body, _ = req.GetBody()
}

// fault returns the error of a medium that could not be read, or nil.
func (p *payload) fault() error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken == nil {
		return nil
	}
	return p.broken
}

// fail notes that a medium could not be read.
func (p *payload) fail(m *batholith.Medium, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken == nil {
		p.broken = &batholith.MediaError{URI: m.URI, Err: err}
	}
	return p.broken
}

// payloadReader reads a payload once. The transport may close it while it is read.
type payloadReader struct {
	p     *payload
	n     int       // the piece that is read
	at    int       // byte in its text
	codes *encoding // of its medium, when the text is read

	mu     sync.Mutex
	open   io.ReadCloser // the object that codes reads
	closed bool
}

// Read implements io.Reader.
func (r *payloadReader) Read(b []byte) (int, error) {
	for r.n < len(r.p.pieces) {
		part := r.p.pieces[r.n]
		if r.at < len(part.text) {
			n := copy(b, part.text[r.at:])
			r.at += n
			return n, nil
		}
		if part.medium == nil {
			r.n, r.at = r.n+1, 0
			continue
		}
		n, err := r.medium(part.medium, b)
		if err == io.EOF {
			r.hold(nil)
			r.n, r.at, r.codes, err = r.n+1, 0, nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.EOF
}

// medium reads the Base64 of a medium. Its errors are those of the object, unless the request has ended.
func (r *payloadReader) medium(m *batholith.Medium, b []byte) (n int, err error) {
	if r.codes == nil {
		var open io.ReadCloser
		if open, err = m.Open(r.p.ctx); err == nil {
			r.codes = &encoding{from: open, left: m.Bytes}
			r.hold(open)
		}
	}
	if err == nil {
		n, err = r.codes.Read(b)
	}
	if err == nil || err == io.EOF {
		return n, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return n, http.ErrBodyReadAfterClose
	}
	return n, r.p.fail(m, err)
}

// hold replaces the open object and closes the one before it.
func (r *payloadReader) hold(open io.ReadCloser) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open != nil {
		_ = r.open.Close() // it was only read
	}
	r.open = open
	if r.closed && open != nil {
		_ = open.Close()
	}
}

// Close implements io.Closer.
func (r *payloadReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.open != nil {
		_ = r.open.Close()
		r.open = nil
	}
	return nil
}

// encoding reads exactly left bytes and returns them in Base64.
type encoding struct {
	from io.Reader
	left int64
	raw  [3 << 13]byte // 24 KiB become 32 KiB
	text [4 << 13]byte
	rest []byte // of text, not read yet
}

// Read implements io.Reader. It returns io.ErrUnexpectedEOF if the object ends early.
func (e *encoding) Read(b []byte) (int, error) {
	if len(e.rest) == 0 {
		if e.left == 0 {
			return 0, io.EOF
		}
		raw := e.raw[:min(int64(len(e.raw)), e.left)]
		n, err := io.ReadFull(e.from, raw)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, err
		}
		e.left -= int64(n)
		base64.StdEncoding.Encode(e.text[:], raw)
		e.rest = e.text[:base64.StdEncoding.EncodedLen(n)]
	}
	n := copy(b, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}
