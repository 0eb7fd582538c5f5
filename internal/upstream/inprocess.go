package upstream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
)

// InProcess reaches a handler of this process as if it were a server, without a socket. A panic in it ends the attempt like a
// broken connection. The handler runs on the caller's goroutine and must return when the request's context ends.
func InProcess(h http.Handler) http.RoundTripper { return inProcess{h} }

type inProcess struct{ h http.Handler }

// memoryBody is a request's body whose bytes a handler of this process may look at, and not change, in place of reading a copy of them.
type memoryBody struct {
	*bytes.Reader
	b []byte
}

// Close implements [io.Closer].
func (memoryBody) Close() error { return nil }

// Bytes is the whole body.
func (m memoryBody) Bytes() []byte { return m.b }

// RoundTrip implements [http.RoundTripper].
func (t inProcess) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	if req.Body == nil {
		r := *req // a handler may rely on a body
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

// panicked is a handler's panic as an error: a torn connection when the handler meant one.
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

// Header, WriteHeader and Write implement [http.ResponseWriter].
func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if !w.sent {
		w.status, w.sent = status, true
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	w.sent = true
	return w.body.Write(b)
}
