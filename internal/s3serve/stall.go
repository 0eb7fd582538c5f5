package s3serve

import (
	"io"
	"net"
	"sync"
	"time"
)

// impatient is a listener whose connections fail if a single read or write takes longer than
// stallTimeout. The HTTP server has limits for whole requests only, and a large upload may take
// hours.
type impatient struct {
	net.Listener

	mu    sync.Mutex         // guards the fields below
	fresh map[*stalling]bool // connections without a byte received
	over  bool               // hangUp was called
}

// Accept implements net.Listener.
func (l *impatient) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s := &stalling{Conn: c, of: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		c.Close() // the server will find it closed
		return s, nil
	}
	if l.fresh == nil {
		l.fresh = map[*stalling]bool{}
	}
	l.fresh[s] = true
	return s, nil
}

// hangUp closes connections that have not received a byte; clients open some in advance. At a
// shutdown the HTTP server closes idle connections after a request, but it would wait for these
// until the time limit.
func (l *impatient) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	for c := range l.fresh {
		c.Close()
	}
}

// used marks c as a connection on which a request has begun.
func (l *impatient) used(c *stalling) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.fresh, c)
}

// stalling is a connection of an impatient listener. Only one goroutine reads it.
type stalling struct {
	net.Conn
	of    *impatient
	once  sync.Once // runs at the end of the first read
	until time.Time // read deadline that the server set; zero: none
	ended bool      // a read has returned an error
}

// SetReadDeadline sets a deadline earlier than stallTimeout; the zero time removes it.
func (c *stalling) SetReadDeadline(t time.Time) error {
	c.until = t
	return nil
}

// Read implements net.Conn with the deadline.
func (c *stalling) Read(p []byte) (int, error) {
	end := time.Now().Add(stallTimeout)
	if !c.until.IsZero() && c.until.Before(end) {
		end = c.until
	}
	if err := c.Conn.SetReadDeadline(end); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	c.ended = err != nil
	c.once.Do(func() { c.of.used(c) })
	return n, err
}

// brokeOff reports whether the last read of a connection failed. For a chunked body the HTTP
// server returns io.EOF both after the last chunk and if the connection ended between two
// chunks. Only in the second case has it read to the end of the connection.
func brokeOff(conn net.Conn) bool {
	s, ok := conn.(*stalling)
	return ok && s.ended
}

// Write implements net.Conn with the deadline.
func (c *stalling) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(stallTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// pieceBytes is how many bytes of an object are written at once.
const pieceBytes = 64 << 10

var pieces = sync.Pool{New: func() any { return new([pieceBytes]byte) }}

// ReadFrom writes all of r in pieces, each with its own deadline. Without it the HTTP server
// would write 4 KiB at a time, with a deadline for each write and, inside the process, a switch
// to the reader.
func (c *stalling) ReadFrom(r io.Reader) (int64, error) {
	p := pieces.Get().(*[pieceBytes]byte)
	defer pieces.Put(p)
	return io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{r}, p[:])
}
