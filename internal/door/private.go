package door

import (
	"context"
	"net"
	"sync"
)

// Private is a listener that only the process itself can reach, by Dial. Its connections are pipes in memory: they need no
// descriptors, and nothing outside can use them up.
type Private struct {
	dialled chan net.Conn // unbuffered and never closed: a dial ends when its connection is accepted
	closed  chan struct{} // closed by Close
	once    sync.Once
}

// NewPrivate makes a listener that nobody has dialled yet.
func NewPrivate() *Private {
	return &Private{dialled: make(chan net.Conn), closed: make(chan struct{})}
}

// Dial connects to whoever accepts. It waits for that until ctx ends, and returns [net.ErrClosed] after Close.
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

// Addr names the listener; it is nothing that could be dialled from outside.
func (p *Private) Addr() net.Addr { return privateAddr{} }

type privateAddr struct{}

func (privateAddr) Network() string { return "pipe" }
func (privateAddr) String() string  { return "private" }
