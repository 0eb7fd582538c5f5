package door

import (
	"context"
	"net"
	"sync"
)

// Private is a net.Listener that only this process can reach, with Dial. Its connections are
// in-memory pipes: they need no file descriptors, and outside clients cannot exhaust them.
type Private struct {
	dialled chan net.Conn // unbuffered and never closed: Dial returns when its connection is accepted
	closed  chan struct{} // closed by Close
	once    sync.Once
}

// NewPrivate returns an open listener.
func NewPrivate() *Private {
	return &Private{dialled: make(chan net.Conn), closed: make(chan struct{})}
}

// Dial connects to the goroutine that calls Accept. It waits until ctx ends, and returns
// [net.ErrClosed] after Close.
func (p *Private) Dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.dialled <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Accept returns the other end of the next Dial.
func (p *Private) Accept() (net.Conn, error) {
	select {
	case <-p.closed:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-p.dialled:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and Dial. Connections stay open.
func (p *Private) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr returns a placeholder: the listener has no network address.
func (p *Private) Addr() net.Addr { return privateAddr{} }

type privateAddr struct{}

// Network and String implement net.Addr.
func (privateAddr) Network() string { return "pipe" }
func (privateAddr) String() string  { return "private" }
