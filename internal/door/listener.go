package door

import (
	"container/list"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Listener accepts connections within its limits. All of its connections are [*Conn].
type Listener struct {
	net.Listener
	limits Limits
	log    *slog.Logger
	closed chan struct{} // closed by Close
	freed  chan struct{} // holds one signal when a connection has made room since the last look; never closed

	mu         sync.Mutex
	strangers  *list.List         // of *Conn, the oldest first
	proven     *list.List         // of *Conn
	perAddress map[netip.Addr]int // strangers
	bytes      int64              // held by strangers
	turnedAway int                // connections closed for others since told
	told       time.Time          // when the log last heard of it
	over       bool
}

// Listen puts a door before ln. A nil log discards.
func Listen(ln net.Listener, limits Limits, log *slog.Logger) *Listener {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Listener{Listener: ln, limits: limits.filled(Default(Descriptors())), log: log,
		closed: make(chan struct{}), freed: make(chan struct{}, 1),
		strangers: list.New(), proven: list.New(), perAddress: map[netip.Addr]int{}}
}

// Accept returns the next connection for which there is room, and makes room by closing others. It returns an error only when the
// listener is closed or broken: a shortage of descriptors is waited for.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		switch {
		case err != nil && shortage(err):
			l.relieve(err)
		case err != nil:
			return nil, err
		default:
			if c := l.admit(raw); c != nil {
				return c, nil
			}
			raw.Close()
		}
	}
}

// Close ends Accept. Connections stay open. A second Close does nothing.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return nil
	}
	l.over = true
	close(l.closed)
	return l.Listener.Close()
}

// Dismiss ends Accept and closes the connections of strangers: a server that stops has nothing to finish for them, and would wait for
// their requests.
func (l *Listener) Dismiss() {
	l.Close() // what is wrong with it, if anything, Accept has told
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := l.strangers.Front(); e != nil; e = l.strangers.Front() {
		e.Value.(*Conn).cut()
	}
}

// admit takes a connection in, or returns nil when there is no room: every connection is in use by a key holder.
func (l *Listener) admit(raw net.Conn) *Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	address := addressOf(raw)
	for !l.over {
		victim, full := l.victim(address)
		switch {
		case !full:
			return l.add(raw, address)
		case victim == nil:
			l.tell(address, "every connection is in use by a key holder")
			return nil
		case !victim.proven.Load() && time.Since(victim.opened) < l.limits.Young:
			l.pause(l.limits.Young - time.Since(victim.opened))
		default:
			l.tell(victim.address, "too many connections without a verified request")
			victim.cut()
		}
	}
	return nil
}

func (l *Listener) add(raw net.Conn, address netip.Addr) *Conn {
	c := &Conn{Conn: raw, door: l, address: address, opened: time.Now()}
	c.since = c.opened
	c.idle.Store(true)
	c.place = l.strangers.PushBack(c)
	l.perAddress[address]++
	return c
}

// pause waits with the lock released until a connection has made room, the listener is closed, or so much time has passed.
func (l *Listener) pause(d time.Duration) {
	l.mu.Unlock()
	defer l.mu.Lock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-l.freed:
	case <-l.closed:
	case <-timer.C:
	}
}

// relieve makes room when the process or the system has no descriptor left: a stranger's connection is closed. Where there is
// none, what is open must end first, and a moment is waited.
func (l *Listener) relieve(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell(netip.Addr{}, "no file descriptor is free: "+err.Error())
	if oldest := l.strangers.Front(); oldest != nil {
		oldest.Value.(*Conn).cut()
		return
	}
	l.pause(l.limits.Young)
}

// tellEvery is how often the log hears that connections are turned away.
const tellEvery = time.Minute

func (l *Listener) tell(address netip.Addr, why string) {
	l.turnedAway++
	if time.Since(l.told) < tellEvery {
		return
	}
	l.log.Warn("connections are turned away", "listener", l.Addr().String(), "why", why, "address", address.String(), "closed", l.turnedAway,
		"open", l.strangers.Len()+l.proven.Len(), "unproven", l.strangers.Len())
	l.told, l.turnedAway = time.Now(), 0
}

// addressOf is the address that a connection counts under. Hosts choose freely within an IPv6 network of 64 bits, so it is that.
func addressOf(c net.Conn) netip.Addr {
	var a netip.Addr
	if at, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		a = at.Addr().Unmap().WithZone("")
	}
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			a = p.Addr()
		}
	}
	return a
}
