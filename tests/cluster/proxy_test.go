package cluster

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy passes TCP connections on to a server, and breaks them as the network between the two may.
type proxy struct {
	ln net.Listener

	mu      sync.Mutex
	targets []target // connections go to each in turn; one that refuses is passed over
	next    int
	state   passage
	delay   time.Duration // of each piece of data, in each direction
	changed chan struct{} // closed at a change of state or delay
	conns   map[net.Conn]bool
	ended   atomic.Bool
}

// target is the address of a server: a network and an address of package net.
type target struct{ network, address string }

// passage is what a proxy does with connections.
type passage int

const (
	passes    passage = iota
	refuses           // it resets every connection, as a machine does on which nothing listens
	swallows          // nothing passes, and nobody is told: packets are lost
	wellKnown = "127.0.0.1:0"
)

// newProxy starts a proxy in front of a server. It ends with the test.
func newProxy(t testing.TB, targets ...target) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", wellKnown)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{ln: ln, targets: targets, changed: make(chan struct{}), conns: map[net.Conn]bool{}}
	go p.accept()
	t.Cleanup(p.close)
	return p
}

// address is the host and port of the proxy.
func (p *proxy) address() string { return p.ln.Addr().String() }

// url is the address as a URL.
func (p *proxy) url() string { return "http://" + p.address() }

// to changes the servers behind the proxy, for connections that are made from now on.
func (p *proxy) to(targets ...target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.targets = targets
}

// cut breaks all connections and refuses new ones.
func (p *proxy) cut() {
	p.set(refuses, 0)
	p.reset()
}

// swallow lets nothing pass, without a word to either side.
func (p *proxy) swallow() { p.set(swallows, 0) }

// slow lets everything pass that much later.
func (p *proxy) slow(by time.Duration) { p.set(passes, by) }

// heal ends what was done to the proxy. Connections that were swallowed go on, with what was on its way.
func (p *proxy) heal() { p.set(passes, 0) }

// set changes what the proxy does.
func (p *proxy) set(s passage, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state, p.delay = s, delay
	close(p.changed)
	p.changed = make(chan struct{})
}

// reset breaks all connections.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		abort(c)
	}
	clear(p.conns)
}

// close ends the proxy.
func (p *proxy) close() {
	p.ended.Store(true)
	p.ln.Close()
	p.set(refuses, 0)
	p.reset()
}

// abort closes a connection with a reset, if it is TCP.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.Close()
}

// accept takes connections until the proxy is closed.
func (p *proxy) accept() {
	for {
		c, err := p.ln.Accept()
		if err != nil {
			return
		}
		go p.serve(c)
	}
}

// serve passes one connection on.
func (p *proxy) serve(near net.Conn) {
	defer abort(near)
	if !p.keep(near) || !p.pass() {
		return
	}
	far := p.dial()
	if far == nil || !p.keep(far) {
		return
	}
	defer abort(far)
	var both sync.WaitGroup
	both.Go(func() { p.copy(far, near) })
	both.Go(func() { p.copy(near, far) })
	both.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, near)
	delete(p.conns, far)
}

// keep notes a connection, so that it can be broken. It returns false if it is to be broken at once.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == refuses || p.ended.Load() {
		return false
	}
	p.conns[c] = true
	return true
}

// dial connects to the next server that takes a connection; nil: none does.
func (p *proxy) dial() net.Conn {
	p.mu.Lock()
	all := make([]target, 0, len(p.targets))
	for i := range p.targets {
		all = append(all, p.targets[(p.next+i)%len(p.targets)])
	}
	p.next++
	p.mu.Unlock()
	for _, to := range all {
		if c, err := net.Dial(to.network, to.address); err == nil {
			return c
		}
	}
	return nil
}

// copy passes on what comes from one side, and then the end of it.
func (p *proxy) copy(to, from net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !p.pass() {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				abort(from)
				return
			}
		}
		if err != nil {
			if half, ok := to.(interface{ CloseWrite() error }); ok && err == io.EOF && p.pass() {
				_ = half.CloseWrite()
			} else {
				abort(to)
			}
			return
		}
	}
}

// pass waits until data may pass. It returns false if the connection is to be broken.
func (p *proxy) pass() bool {
	var late <-chan time.Time
	for {
		p.mu.Lock()
		state, delay, changed := p.state, p.delay, p.changed
		p.mu.Unlock()
		switch {
		case state == refuses:
			return false
		case state == passes && delay == 0:
			return true
		case state == passes && late == nil:
			late = time.After(delay)
		}
		select {
		case <-changed:
		case <-late:
			return true
		}
	}
}
