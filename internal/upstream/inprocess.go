package upstream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
)

// InProcess returns a transport that calls h directly instead of a server. A panic in h ends
// the attempt like a broken connection. h must return when the request's context ends. It runs on
// the caller's goroutine, and for a stream on its own until the answer's body is closed.
func InProcess(h http.Handler) http.RoundTripper { return inProcess{h} }

type inProcess struct{ h http.Handler }

// memoryBody is a request body that a handler in this process may read without a copy, through
// Bytes. It must not modify the bytes.
type memoryBody struct {
	*bytes.Reader
	b []byte
}

// Close implements [io.Closer]. It does nothing.
func (memoryBody) Close() error { return nil }

// Bytes returns the whole body.
func (m memoryBody) Bytes() []byte { return m.b }

// RoundTrip implements [http.RoundTripper].
func (t inProcess) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	if req.Body == nil {
		r := *req // handlers may rely on a body that is not nil
		r.Body = http.NoBody
		req = &r
	}
	defer req.Body.Close()
	defer func() {
		if p := recover(); p != nil {
			resp, err = nil, fmt.Errorf("embedded model: %w", panicked(p))
		}
	}()
	if trace := httptrace.ContextClientTrace(req.Context()); trace != nil {
		trace.GotConn(httptrace.GotConnInfo{})
		trace.WroteRequest(httptrace.WroteRequestInfo{})
	}
	if strings.Contains(req.Header.Get("Accept"), "text/event-stream") {
		return t.stream(req)
	}
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	t.h.ServeHTTP(w, req)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: req,
	}, nil
}

// panicked converts a handler's panic to an error. http.ErrAbortHandler means a broken
// connection.
func panicked(p any) error {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		return io.ErrUnexpectedEOF
	}
	return fmt.Errorf("panic: %v", p)
}

// recorder keeps an answer in memory.
type recorder struct {
	header http.Header
	status int
	sent   bool
	body   bytes.Buffer
}

// Header implements [http.ResponseWriter].
func (w *recorder) Header() http.Header { return w.header }

// WriteHeader implements [http.ResponseWriter]. Only the first call has an effect.
func (w *recorder) WriteHeader(status int) {
	if !w.sent {
		w.status, w.sent = status, true
	}
}

// Write implements [http.ResponseWriter].
func (w *recorder) Write(b []byte) (int, error) {
	w.sent = true
	return w.body.Write(b)
}
