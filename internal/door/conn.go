package door

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is a connection accepted by a [Listener]. The HTTP server reports the progress of its
// requests with Begin, Rest and Prove. These methods and Keep may be called on a nil *Conn,
// which stands for a connection without limits.
type Conn struct {
	net.Conn // what the server reads and writes: raw, or tls
	raw      net.Conn
	tls      *tls.Conn // nil: the listener has no TLS
	door     *Listener
	address  netip.Addr
	opened   time.Time

	shaken atomic.Bool  // the TLS handshake is over
	proven atomic.Bool  // a request on it was authenticated; never reset
	idle   atomic.Bool  // no request is in progress
	rested atomic.Int64 // end of the last request, in Unix nanoseconds
	gone   atomic.Bool  // closed, by the door or by the server

	// Guarded by door.mu.
	place    *list.Element // element of door.strangers or door.proven; nil once closed
	since    time.Time     // start of the current request; before its first byte, start of the wait for it
	received int64         // bytes of the current request
	kept     int64         // bytes added by Keep
	claims   bool          // the current request names a known key (see Claim)
	preface  int           // matched bytes of the HTTP/2 preface; -1 once it is complete or cannot match

	deadline sync.Mutex
	asked    time.Time // read deadline that the server set; guarded by deadline
}

// Read implements net.Conn. For a stranger it counts the bytes. It returns io.EOF, as if the
// client had closed the connection, if the request takes too long or the door has closed the
// connection to make room.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		if c.proven.Load() {
			return c.Conn.Read(p)
		}
		if err := c.arm(); err != nil {
			return 0, c.ended(err)
		}
		if c.tls != nil && !c.shaken.Load() {
			if err := c.shake(); err != nil {
				return 0, c.ended(err)
			}
			continue
		}
		n, err := c.Conn.Read(p)
		if n > 0 {
			c.took(p[:n])
		}
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || c.overdue() {
			return n, c.ended(err)
		}
	}
}

// overdue reports whether a read that hit a deadline must end: the server's deadline or the
// stranger's has passed. In the latter case it closes the connection. Otherwise Rest or Prove
// has moved the deadline during the read, which then continues.
func (c *Conn) overdue() bool {
	c.deadline.Lock()
	asked := c.asked
	c.deadline.Unlock()
	now := time.Now()
	if !asked.IsZero() && !now.Before(asked) {
		return true
	}
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	if c.proven.Load() || now.Before(c.due()) {
		return false
	}
	c.cut()
	return true
}

// ended replaces the error of a read by io.EOF if the door has closed the connection. Servers
// would log any other error.
func (c *Conn) ended(err error) error {
	if err != nil && c.gone.Load() {
		return io.EOF
	}
	return err
}

// due returns the time by which the current request must have arrived. The caller holds
// door.mu.
func (c *Conn) due() time.Time { return c.since.Add(c.door.limits.due(c.received)) }

// arm sets the read deadline to the earlier of the server's and the stranger's.
func (c *Conn) arm() error {
	c.door.mu.Lock()
	first := c.due()
	c.door.mu.Unlock()
	c.deadline.Lock()
	defer c.deadline.Unlock()
	if c.proven.Load() {
		return c.Conn.SetReadDeadline(c.asked)
	}
	if !c.asked.IsZero() && c.asked.Before(first) {
		first = c.asked
	}
	return c.Conn.SetReadDeadline(first)
}

// SetReadDeadline sets the server's read deadline. The stranger's own deadline continues to
// apply.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.deadline.Lock()
	c.asked = t
	if c.proven.Load() || !t.IsZero() && !t.After(time.Now()) { // a deadline in the past ends a read at once
		defer c.deadline.Unlock()
		return c.Conn.SetReadDeadline(t)
	}
	c.deadline.Unlock()
	return c.arm()
}

// SetDeadline sets the read and the write deadline.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.Conn.SetWriteDeadline(t); err != nil {
		return err
	}
	return c.SetReadDeadline(t)
}

// Close closes the connection and frees its place.
func (c *Conn) Close() error {
	c.door.mu.Lock()
	c.leave()
	c.door.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite closes the sending direction only, if the connection supports it. HTTP servers do
// this before they close a connection whose request body they did not read; otherwise the
// client might lose the answer.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// cut closes the connection on behalf of the door. The caller holds door.mu; closing a socket
// does not block.
func (c *Conn) cut() {
	c.leave()
	c.raw.Close()
}

// leave removes the connection from the door's lists. The caller holds door.mu.
func (c *Conn) leave() {
	c.gone.Store(true)
	if c.place == nil {
		return
	}
	if c.proven.Load() {
		c.door.proven.Remove(c.place)
	} else {
		c.unlist()
	}
	c.place = nil
	c.door.free()
}

// unlist removes the connection and its bytes from the strangers' totals. The caller holds
// door.mu.
func (c *Conn) unlist() {
	l := c.door
	l.strangers.Remove(c.place)
	*c.total() -= c.received + c.kept
	if l.perAddress[c.address]--; l.perAddress[c.address] == 0 {
		delete(l.perAddress, c.address)
	}
}

// free wakes a waiting newcomer.
func (l *Listener) free() {
	select {
	case l.freed <- struct{}{}:
	default: // a signal is pending already
	}
}

// took notes bytes that the server has read. Over TLS the bytes below are counted instead.
func (c *Conn) took(p []byte) {
	if c.tls == nil {
		c.count(len(p))
	}
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	if c.place == nil || c.proven.Load() || !c.multiplexes(p) {
		return
	}
	c.kept += c.door.limits.Multiplexed
	c.hold(c.door.limits.Multiplexed)
}

// count adds received bytes. If the strangers then hold too many bytes together, the heaviest
// one is closed, which may be this one.
func (c *Conn) count(n int) {
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	if c.place == nil || c.proven.Load() {
		return
	}
	if c.received == 0 {
		c.since = time.Now()
	}
	c.received += int64(n)
	c.hold(int64(n))
}

// http2 is the start of the HTTP/2 preface (RFC 9113, section 3.4). No HTTP/1 request begins
// with it.
const http2 = "PRI * HTTP/2.0"

// multiplexes reports whether p completes the HTTP/2 preface. It returns true at most once per
// connection.
func (c *Conn) multiplexes(p []byte) bool {
	for _, b := range p {
		if c.preface < 0 {
			return false
		}
		if b != http2[c.preface] {
			c.preface = -1
			return false
		}
		if c.preface++; c.preface == len(http2) {
			c.preface = -1
			return true
		}
	}
	return false
}

// total returns the sum in which the connection's bytes are counted. The caller holds door.mu.
func (c *Conn) total() *int64 {
	if c.claims {
		return &c.door.claimed
	}
	return &c.door.bytes
}

// Claim reports that the head of the current request names a key that exists; whether the sender
// has it shows when the whole request is there, because the signature covers the body. From now on
// until Rest or Prove, the connection's bytes count for Limits.Claimed, and not among those of
// strangers without a claim. So a key holder's first request may be a long one, and only those who
// know the id of a key can fill this memory.
func (c *Conn) Claim() {
	if c == nil || c.proven.Load() {
		return
	}
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	if c.place == nil || c.proven.Load() || c.claims {
		return
	}
	n := c.received + c.kept
	*c.total() -= n
	c.claims = true
	c.hold(n)
}

// unclaim ends a claim. The caller holds door.mu.
func (c *Conn) unclaim() {
	if !c.claims {
		return
	}
	n := c.received + c.kept
	*c.total() -= n
	c.claims = false
	c.hold(n)
}

// hold adds n to the sum in which the connection's bytes are counted, and closes the heaviest of
// its kind until the sum is within the limit. The caller holds door.mu.
func (c *Conn) hold(n int64) {
	l, total, limit := c.door, c.total(), c.door.limits.Bytes
	if c.claims {
		limit = l.limits.Claimed
	}
	*total += n
	for *total > limit {
		heaviest := l.heaviest(c.claims)
		if heaviest == nil {
			return
		}
		l.tell(heaviest.address, "too many bytes without a verified request")
		heaviest.cut()
	}
}

// Keep counts n more bytes for a request, until release is called (once). It is for memory that
// the received bytes do not show: over HTTP/2, a few bytes can become a request of many
// kilobytes.
func (c *Conn) Keep(n int64) (release func()) {
	if c == nil || c.proven.Load() {
		return func() {}
	}
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	if c.place == nil || c.proven.Load() {
		return func() {}
	}
	c.kept += n
	c.hold(n)
	return func() {
		c.door.mu.Lock()
		defer c.door.mu.Unlock()
		if c.place != nil && !c.proven.Load() { // otherwise unlist has subtracted them already
			c.kept -= n
			*c.total() -= n
		}
	}
}

// Begin reports the start of a request.
func (c *Conn) Begin() {
	if c != nil {
		c.idle.Store(false)
	}
}

// Rest reports that the last request has ended and none of its memory is held any more.
func (c *Conn) Rest() {
	if c == nil {
		return
	}
	now := time.Now()
	c.rested.Store(now.UnixNano())
	c.idle.Store(true)
	if c.proven.Load() {
		return
	}
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	if c.place != nil && !c.proven.Load() {
		*c.total() -= c.received
		c.received, c.since = 0, now
		c.unclaim()
	}
}

// Prove reports that a request on this connection was authenticated. The connection is no
// longer a stranger's, and only the server's own deadlines apply.
func (c *Conn) Prove() {
	if c == nil || c.proven.Load() {
		return
	}
	c.door.mu.Lock()
	if c.place == nil || c.proven.Load() {
		c.door.mu.Unlock()
		return
	}
	c.unlist()
	c.place = c.door.proven.PushBack(c)
	c.proven.Store(true)
	c.door.free()
	c.door.mu.Unlock()

	c.deadline.Lock() // the current read still has the stranger's deadline
	defer c.deadline.Unlock()
	c.Conn.SetReadDeadline(c.asked) // an error means that the connection has ended; its reader will see that
}

type connKey struct{}

// With returns a context that carries the connection c of a request. http.Server.ConnContext
// calls it.
func With(ctx context.Context, c net.Conn) context.Context {
	ours, _ := c.(*Conn)
	return context.WithValue(ctx, connKey{}, ours)
}

// From returns the connection that the request of ctx came over, or nil.
func From(ctx context.Context) *Conn {
	c, _ := ctx.Value(connKey{}).(*Conn)
	return c
}
