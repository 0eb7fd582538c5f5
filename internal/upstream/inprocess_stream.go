package upstream

import (
	"context"
	"io"
	"net/http"
	"sync"
)

// stream is RoundTrip for an answer that is read while the handler writes it. The handler's
// goroutine ends before Close of the answer's body returns.
func (t inProcess) stream(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	r, pipe := io.Pipe()
	w := &passing{header: http.Header{}, began: make(chan struct{}), pipe: pipe}
	done := make(chan struct{})
	go func() {
		defer close(done)
		pipe.CloseWithError(t.serve(w, req.WithContext(ctx)))
		w.WriteHeader(http.StatusOK)
	}()
	body := &passed{PipeReader: r, stop: func() { cancel(); r.Close(); <-done }}
	select {
	case <-w.began:
	case <-ctx.Done():
		body.Close()
		return nil, ctx.Err()
	}
	return &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: body, ContentLength: -1, Request: req,
	}, nil
}

// serve calls the handler. Its error is the handler's panic, or that of the request's context.
func (t inProcess) serve(w http.ResponseWriter, req *http.Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	t.h.ServeHTTP(w, req)
	return req.Context().Err()
}

// passing passes an answer on as it is written: a write returns when the reader has it.
type passing struct {
	header, sent http.Header
	status       int
	once         sync.Once
	began        chan struct{} // closed when the head is complete
	pipe         *io.PipeWriter
}

// Header implements [http.ResponseWriter].
func (w *passing) Header() http.Header { return w.header }

// WriteHeader implements [http.ResponseWriter]. Only the first call has an effect.
func (w *passing) WriteHeader(status int) {
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.began)
	})
}

// Write implements [http.ResponseWriter].
func (w *passing) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pipe.Write(b)
}

// Flush implements [http.Flusher]. Nothing is held back.
func (w *passing) Flush() { w.WriteHeader(http.StatusOK) }

// passed is the body of such an answer.
type passed struct {
	*io.PipeReader
	once sync.Once
	stop func()
}

// Close ends the handler and waits for it.
func (p *passed) Close() error {
	p.once.Do(p.stop)
	return nil
}
