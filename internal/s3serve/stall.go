package s3serve

import (
	"io"
	"net"
	"sync"
	"time"
)

// impatient gives up connections on which a read or a write waits for longer than stallTimeout. The HTTP server has limits for
// whole requests only, and an upload may well take hours.
type impatient struct {
	net.Listener

	mu    sync.Mutex
	fresh map[*stalling]bool // connections over which nothing has come yet
	over  bool               // hangUp was called
}

func (l *impatient) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s := &stalling{Conn: c, of: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		c.Close() // the server finds it closed
		return s, nil
	}
	if l.fresh == nil {
		l.fresh = map[*stalling]bool{}
	}
	l.fresh[s] = true
	return s, nil
}

// hangUp closes the connections over which no request has begun: clients open some in advance. When the HTTP server stops it
// closes those that wait for a further request, but would wait for these until its time is up.
func (l *impatient) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	for c := range l.fresh {
		c.Close()
	}
}

func (l *impatient) used(c *stalling) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.fresh, c)
}

type stalling struct {
	net.Conn
	of    *impatient
	once  sync.Once // the first read has ended
	until time.Time // end of the next reads, if it was set; of the goroutine that reads
	ended bool      // a read has met the end of the connection; of the same goroutine
}

// SetReadDeadline sets an end that is earlier than stallTimeout; the zero time takes it back.
func (c *stalling) SetReadDeadline(t time.Time) error {
	c.until = t
	return nil
}

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

// brokeOff tells whether the last read of a connection met its end. The HTTP server says io.EOF of a chunked body whether its last
// chunk came or the connection ended between two chunks. It reads no further than to the last chunk, so only the second reads the end.
func brokeOff(conn net.Conn) bool {
	s, ok := conn.(*stalling)
	return ok && s.ended
}

func (c *stalling) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(stallTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// pieceBytes is how much of an object is written at once.
const pieceBytes = 64 << 10

var pieces = sync.Pool{New: func() any { return new([pieceBytes]byte) }}

// ReadFrom writes what r has, in pieces with a deadline each. Without it the HTTP server writes 4 KiB at a time, and each write sets a
// deadline and, inside the process, wakes the reader.
func (c *stalling) ReadFrom(r io.Reader) (int64, error) {
	p := pieces.Get().(*[pieceBytes]byte)
	defer pieces.Put(p)
	return io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{r}, p[:])
}
