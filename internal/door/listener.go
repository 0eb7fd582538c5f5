package door

import (
	"container/list"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Listener accepts connections within its limits. Every connection that it returns is a
// [*Conn].
type Listener struct {
	net.Listener
	limits Limits
	tls    *tls.Config // nil: connections without TLS
	log    *slog.Logger
	closed chan struct{} // closed by Close
	freed  chan struct{} // buffered signal: a connection has freed its place since the last look; never closed

	mu         sync.Mutex         // guards the fields below and the marked ones of Conn
	strangers  *list.List         // of *Conn, the oldest first
	proven     *list.List         // of *Conn
	perAddress map[netip.Addr]int // number of strangers by address
	bytes      int64              // held by strangers without a claim
	claimed    int64              // held by strangers with a claim
	turnedAway int                // connections closed since the last log line
	told       time.Time          // time of the last log line
	unsafeTold time.Time          // time of the last log line about a handshake
	over       bool
}

// Listen wraps ln, which may come from [Secure]. A nil log discards messages.
func Listen(ln net.Listener, limits Limits, log *slog.Logger) *Listener {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var config *tls.Config
	if s, ok := ln.(secured); ok {
		ln, config = s.Listener, s.config
	}
	return &Listener{Listener: ln, tls: config, limits: limits.filled(Default(Descriptors())), log: log,
		closed: make(chan struct{}), freed: make(chan struct{}, 1),
		strangers: list.New(), proven: list.New(), perAddress: map[netip.Addr]int{}}
}

// Accept returns the next connection that fits the limits. It may close other connections to
// make room. It returns an error only if the listener is closed or broken; if file descriptors
// are exhausted, it waits.
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

// Close ends Accept. Connections stay open. Further calls do nothing.
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

// Dismiss ends Accept and closes all strangers' connections. A server that shuts down has
// nothing to finish for them and would wait for their requests.
func (l *Listener) Dismiss() {
	l.Close() // Accept reports an error, if any
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := l.strangers.Front(); e != nil; e = l.strangers.Front() {
		e.Value.(*Conn).cut()
	}
}

// admit adds a connection, or returns nil if all connections are in use by key holders.
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

// add registers a new stranger. The caller holds l.mu.
func (l *Listener) add(raw net.Conn, address netip.Addr) *Conn {
	c := &Conn{Conn: raw, raw: raw, door: l, address: address, opened: time.Now()}
	c.since = c.opened
	c.idle.Store(true)
	if l.tls != nil {
		c.secure(l.tls)
	}
	c.place = l.strangers.PushBack(c)
	l.perAddress[address]++
	return c
}

// pause releases the lock and waits until a place is freed, the listener is closed, or d has
// passed.
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

// relieve handles a shortage of file descriptors: it closes the oldest stranger's connection.
// If there is no stranger, it waits for Limits.Young, until other descriptors may be free.
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

// tellEvery is the minimum time between two log lines about closed connections.
const tellEvery = time.Minute

// tell logs that a connection was closed, at most once per tellEvery. The caller holds l.mu.
func (l *Listener) tell(address netip.Addr, why string) {
	l.turnedAway++
	if time.Since(l.told) < tellEvery {
		return
	}
	l.log.Warn("connections are turned away", "listener", l.Addr().String(), "why", why, "address", address.String(), "closed", l.turnedAway,
		"open", l.strangers.Len()+l.proven.Len(), "unproven", l.strangers.Len())
	l.told, l.turnedAway = time.Now(), 0
}

// addressOf returns the address under which a connection is counted. Hosts choose freely among
// the 2^64 addresses of an IPv6 /64 network, so it returns the network.
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
