package upstream

import (
	"context"
	"net"
	"net/http"
)

// Process is a model server that this process starts itself. Its port changes with each start, so connections are made by Dial and not
// to the address in the URL.
type Process interface {
	// Dial connects to the server. While the server is not ready, the error is a [*batholith.Failure] of kind FailureUnreachable, whose
	// text everyone may read.
	Dial(ctx context.Context) (net.Conn, error)
	// Ready returns a channel that is closed when the server is ready, or nil if it is ready now.
	Ready() <-chan struct{}
	// Progress says how far the start is, "" if the server is ready. Everyone may read it.
	Progress() string
}

// through makes a transport connect to a process. Nothing leaves the machine, so no proxy is asked.
func through(t *http.Transport, p Process) {
	t.Proxy = nil
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return p.Dial(ctx) }
}

// Ready returns a channel that is closed when the server can be reached. It is nil if the server can be reached now, or if that is not
// known because this process does not run the server.
func (b *Backend) Ready() <-chan struct{} {
	if b.o.Process == nil {
		return nil
	}
	return b.o.Process.Ready()
}

// Progress says how far the start of a server is that this process runs; "" if it is ready, or unknown.
func (b *Backend) Progress() string {
	if b.o.Process == nil {
		return ""
	}
	return b.o.Process.Progress()
}

// Started reports whether this process starts the server itself.
func (b *Backend) Started() bool { return b.o.Process != nil }
