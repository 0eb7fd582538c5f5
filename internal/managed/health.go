package managed

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// verdict is what a look at a server's health shows.
type verdict int

const (
	unheard  verdict = iota // nothing answered in time: it may only be busy
	unwell                  // it refuses connections, or answers that it is not ready
	answered                // it is ready
)

// verdictOf judges the status of a health path. next: the server has no such path, so the next one is asked; the last one then shows at
// least that the server speaks HTTP.
//
//	5xx, 429            not ready. llama.cpp, SGLang and TEI answer 503 while they load, and vLLM when its engine has died
//	404, 405, 501       no such path
//	all others          ready, also 401 and 403 of a server that wants a key
func verdictOf(status int) (v verdict, next bool) {
	switch {
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusNotImplemented:
		return answered, true
	case status >= 500, status == http.StatusTooManyRequests:
		return unwell, false
	}
	return answered, false
}

// health asks one process.
type health struct {
	client *http.Client
	base   string
	paths  []string
}

// newHealth returns the health of the server on a port. It opens a new connection for each request: an idle one would outlive the process.
func newHealth(port int, paths []string, patience time.Duration) *health {
	return &health{paths: paths, base: "http://" + loopback(port), client: &http.Client{Timeout: patience,
		Transport:     &http.Transport{DisableKeepAlives: true, Proxy: nil},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// ask asks the paths in turn.
func (h *health) ask(ctx context.Context) (v verdict) {
	for _, path := range h.paths {
		status, err := h.get(ctx, path)
		if err != nil {
			if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
				return unheard
			}
			return unwell
		}
		var next bool
		if v, next = verdictOf(status); !next {
			return v
		}
	}
	return v
}

func (h *health) get(ctx context.Context, path string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.base+path, nil)
	if err != nil {
		return 0, err
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	return resp.StatusCode, nil
}

// loopback returns the address of a port for connections from this machine.
func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePort returns a port that nothing uses now. Another process may take it before the server does; then the server ends, and the next
// start has another port.
func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", loopback(0))
	if err != nil {
		return 0, err
	}
	port := ln.Addr().(*net.TCPAddr).Port
	return port, ln.Close()
}
