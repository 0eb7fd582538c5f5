package door

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

// Secure returns a listener whose connections speak TLS. [Listen] runs the handshake within its
// limits: the bytes of a handshake count like those of a request, and it has the time of one.
func Secure(ln net.Listener, config *tls.Config) net.Listener { return secured{ln, config} }

type secured struct {
	net.Listener
	config *tls.Config
}

// Accept implements net.Listener for callers without a door.
func (s secured) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tls.Server(c, s.config), nil
}

// wire is the connection below TLS. It counts what arrives, because TLS holds up to a whole
// record before it returns a byte.
type wire struct {
	net.Conn
	of *Conn
}

// Read implements net.Conn. One read of the server can take several here, and each gets the
// deadline of what has arrived by then.
func (w wire) Read(p []byte) (int, error) {
	if w.of.proven.Load() {
		return w.Conn.Read(p)
	}
	if err := w.of.arm(); err != nil {
		return 0, err
	}
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.of.count(n)
	}
	return n, err
}

// secure puts TLS between the server and the connection.
func (c *Conn) secure(config *tls.Config) {
	c.tls = tls.Server(wire{c.raw, c}, config)
	c.Conn = c.tls
}

// shake runs the handshake. The read deadline is set; the writes get the same one. A client
// whose handshake fails has gone for the server, which would log any other error.
func (c *Conn) shake() error {
	c.door.mu.Lock()
	end := c.due()
	c.door.mu.Unlock()
	if err := c.raw.SetWriteDeadline(end); err != nil {
		return err
	}
	if err := c.tls.Handshake(); err != nil {
		c.door.unsafe(c, err)
		return io.EOF
	}
	c.shaken.Store(true)
	c.Rest() // the time for a request's first byte begins now
	return c.raw.SetWriteDeadline(time.Time{})
}

// unsafe answers a client that speaks HTTP without TLS, and logs why a handshake failed, at most
// once per tellEvery.
func (l *Listener) unsafe(c *Conn, err error) {
	var first tls.RecordHeaderError
	if errors.As(err, &first) && first.Conn != nil && likeHTTP(first.RecordHeader[:]) {
		io.WriteString(c.raw, "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nThis port speaks TLS: write https:// in the URL.\n")
		if half, ok := c.raw.(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		}
		err = errors.New("the client speaks HTTP without TLS")
	}
	if errors.Is(err, io.EOF) || c.gone.Load() {
		return // a client, or a check of its port, has left
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.unsafeTold) < tellEvery {
		return
	}
	l.unsafeTold = time.Now()
	l.log.Info("a TLS handshake failed", "listener", l.Addr().String(), "address", c.address.String(), "why", err.Error())
}

// likeHTTP reports whether the first five bytes of a connection are those of an HTTP request.
func likeHTTP(head []byte) bool {
	for _, method := range []string{"GET /", "HEAD ", "POST ", "PUT /", "DELET", "OPTIO", "PATCH", "PRI *"} {
		if bytes.Equal(head, []byte(method)) {
			return true
		}
	}
	return false
}
