package door

import (
	"container/list"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is a connection that came through a door. The server tells it what becomes of its requests: Begin, Rest, and Prove. All
// methods of its own may be called on nil, which is a connection that no door bounds.
type Conn struct {
	net.Conn
	door    *Listener
	address netip.Addr
	opened  time.Time

	proven atomic.Bool  // a request was verified; never unset
	idle   atomic.Bool  // no request is in progress
	rested atomic.Int64 // when the last one ended, in Unix nanoseconds
	gone   atomic.Bool  // closed, by the door or by the server

	// Guarded by door.mu.
	place    *list.Element // in the strangers or the proven; nil once it is gone
	since    time.Time     // when the request in progress began; before its first byte, when the wait for it began
	received int64         // bytes of it
	kept     int64         // bytes that Keep has added
	preface  int           // how many of the first bytes are those of HTTP/2's preface; -1 once they are not, or all are

	deadline sync.Mutex
	asked    time.Time // guarded by deadline: the read deadline that the server set
}

// Read reads as the connection does. On a stranger's connection it counts the bytes, and ends as if the client had closed the
// connection when the request takes too long or the door has closed it to make room.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		if c.proven.Load() {
			return c.Conn.Read(p)
		}
		if err := c.arm(); err != nil {
			return 0, c.ended(err)
		}
		n, err := c.Conn.Read(p)
		if n > 0 {
			c.count(p[:n])
		}
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || c.overdue() {
			return n, c.ended(err)
		}
	}
}

// overdue tells whether a read that met a deadline is over: the server's deadline has passed, or the stranger's, who is cut off
// then. Otherwise Rest or Prove has moved the deadline while the read waited for the old one.
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

// ended is an error of a read, which is io.EOF when the door has closed the connection: servers log what they do not expect.
func (c *Conn) ended(err error) error {
	if err != nil && c.gone.Load() {
		return io.EOF
	}
	return err
}

// due is when the request in progress must have arrived. The caller holds the door's lock.
func (c *Conn) due() time.Time { return c.since.Add(c.door.limits.due(c.received)) }

// arm sets the read deadline to the server's or the stranger's, whichever comes first.
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

// SetReadDeadline sets the server's read deadline, beside which a stranger's own goes on to hold.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.deadline.Lock()
	c.asked = t
	if c.proven.Load() || !t.IsZero() && !t.After(time.Now()) { // one that has passed ends a read at once
		defer c.deadline.Unlock()
		return c.Conn.SetReadDeadline(t)
	}
	c.deadline.Unlock()
	return c.arm()
}

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.Conn.SetWriteDeadline(t); err != nil {
		return err
	}
	return c.SetReadDeadline(t)
}

// Close closes the connection and gives its place to others.
func (c *Conn) Close() error {
	c.door.mu.Lock()
	c.leave()
	c.door.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite ends what is sent and goes on receiving, where the connection can: HTTP servers do so before they close a connection
// with a body that they did not read, since a closed socket could take the answer back.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// cut closes the connection for the door. The caller holds the door's lock; closing a socket does not block.
func (c *Conn) cut() {
	c.leave()
	c.Conn.Close()
}

// leave takes the connection out of the door's books. The caller holds the door's lock.
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

// unlist takes the connection from the strangers, with what it holds. The caller holds the door's lock.
func (c *Conn) unlist() {
	l := c.door
	l.strangers.Remove(c.place)
	l.bytes -= c.received + c.kept
	if l.perAddress[c.address]--; l.perAddress[c.address] == 0 {
		delete(l.perAddress, c.address)
	}
}

// free tells a newcomer that waits for room to look again.
func (l *Listener) free() {
	select {
	case l.freed <- struct{}{}:
	default: // it is told already
	}
}

// count adds bytes that were received. What is too much in all is taken from the stranger that weighs most, which may be this one.
func (c *Conn) count(p []byte) {
	c.door.mu.Lock()
	defer c.door.mu.Unlock()
	if c.place == nil || c.proven.Load() {
		return
	}
	if c.received == 0 {
		c.since = time.Now()
	}
	n := int64(len(p))
	c.received += n
	if c.multiplexes(p) {
		c.kept += c.door.limits.Multiplexed
		n += c.door.limits.Multiplexed
	}
	c.door.hold(n)
}

// http2 is how an HTTP/2 connection begins, and no request of HTTP/1 does.
const http2 = "PRI * HTTP/2.0"

// multiplexes tells, once, that the connection has turned out to be HTTP/2.
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

// hold adds to the bytes of strangers, and closes connections until the sum is within its bound.
func (l *Listener) hold(n int64) {
	l.bytes += n
	for l.bytes > l.limits.Bytes {
		heaviest := l.heaviest()
		if heaviest == nil {
			return
		}
		l.tell(heaviest.address, "too many bytes without a verified request")
		heaviest.cut()
	}
}

// Keep counts n more bytes as held for a request, until the returned function is called, once. It is for memory that the bytes
// received do not show: over HTTP/2 a few of them make a request of many kilobytes.
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
	c.door.hold(n)
	return func() {
		c.door.mu.Lock()
		defer c.door.mu.Unlock()
		if c.place != nil && !c.proven.Load() { // else it was given back with the rest
			c.kept -= n
			c.door.bytes -= n
		}
	}
}

// Begin says that a request has begun.
func (c *Conn) Begin() {
	if c != nil {
		c.idle.Store(false)
	}
}

// Rest says that the last request has ended and nothing of it is held.
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
		c.door.bytes -= c.received
		c.received, c.since = 0, now
	}
}

// Prove says that a request over this connection was verified: it is a stranger's no longer, and only the server's own deadlines
// hold.
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

	c.deadline.Lock() // a read that is under way has the stranger's deadline still
	defer c.deadline.Unlock()
	c.Conn.SetReadDeadline(c.asked) // fails only if the connection has ended, which its reader finds
}

type connKey struct{}

// With is ctx with the connection that its request came over.
func With(ctx context.Context, c net.Conn) context.Context {
	ours, _ := c.(*Conn)
	return context.WithValue(ctx, connKey{}, ours)
}

// From is the connection that the request of ctx came over, or nil.
func From(ctx context.Context) *Conn {
	c, _ := ctx.Value(connKey{}).(*Conn)
	return c
}
