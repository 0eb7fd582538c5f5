//go:build unix

package pgtest

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// A Proxy passes connections on to a cluster, and breaks them when a test wants it to. It listens on a socket in a folder of its own.
type Proxy struct {
	dir     string
	server  string // the cluster's socket
	l       net.Listener
	running sync.WaitGroup

	mu    sync.Mutex
	pairs map[*pair]struct{}
	fate  func(statement string) Fate
}

// A Fate is what a proxy does with a statement.
type Fate int

const (
	Pass       Fate = iota // pass the statement and its answer on
	LoseAnswer             // pass the statement on, wait until the server has answered it, and cut the connection instead of passing the answer on
	LoseBoth               // cut the connection instead of passing the statement on
)

// Proxy starts a proxy, and stops it when the test ends.
func (c *Cluster) Proxy(t testing.TB) *Proxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgproxy")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL."+port))
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{dir: dir, server: c.Socket(), l: l, pairs: map[*pair]struct{}{}}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.Cut()
		p.running.Wait()
		os.RemoveAll(dir)
	})
	return p
}

// Through returns the address of a database of the cluster through the proxy.
func (p *Proxy) Through(t testing.TB, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("host", p.dir)
	u.RawQuery = q.Encode()
	return u.String()
}

// Decide sets the function that decides the fate of each statement: the text of one of the simple protocol, such as BEGIN, COMMIT and ROLLBACK,
// or EXECUTE for a prepared one. nil passes all.
func (p *Proxy) Decide(fate func(statement string) Fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fate = fate
}

// Cut breaks all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pair := range p.pairs {
		pair.close()
	}
}

// accept passes connections on until the listener is closed.
func (p *Proxy) accept() {
	for {
		client, err := p.l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", p.server)
		if err != nil { // the server is down
			client.Close()
			continue
		}
		pair := &pair{proxy: p, client: client, server: server, ready: make(chan struct{}, 1)}
		p.mu.Lock()
		p.pairs[pair] = struct{}{}
		p.mu.Unlock()
		p.running.Go(pair.forth)
		p.running.Go(pair.back)
	}
}

// decide returns the fate of a statement.
func (p *Proxy) decide(statement string) Fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fate == nil {
		return Pass
	}
	return p.fate(statement)
}

// pair is a connection of a client and the one to the server that belongs to it.
type pair struct {
	proxy          *Proxy
	client, server net.Conn

	mu    sync.Mutex
	mute  bool          // what the server says is not passed on
	ready chan struct{} // gets a value when the server has answered while mute
}

// close breaks both connections.
func (p *pair) close() {
	p.client.Close()
	p.server.Close()
}

// forth passes the client's messages on, each of which is a letter, the length of the rest, and the rest. The first has no letter.
func (p *pair) forth() {
	defer p.end()
	losing := false
	for first := true; ; first = false {
		message, err := read(p.client, first)
		if err != nil {
			return
		}
		if !first && !losing {
			switch p.fate(message) {
			case LoseBoth:
				return
			case LoseAnswer:
				losing = true
				p.mu.Lock()
				p.mute = true
				p.mu.Unlock()
			}
		}
		if _, err := p.server.Write(message); err != nil {
			return
		}
		if losing && (message[0] == 'Q' || message[0] == 'S') { // the server answers now; a prepared statement ends with Sync
			<-p.ready
			return
		}
	}
}

// fate is the fate of a message.
func (p *pair) fate(message []byte) Fate {
	switch message[0] {
	case 'Q':
		return p.proxy.decide(string(bytes.TrimRight(message[5:], "\x00")))
	case 'E':
		return p.proxy.decide("EXECUTE")
	}
	return Pass
}

// back passes the server's messages on.
func (p *pair) back() {
	defer p.close()
	defer close(p.ready)
	for {
		message, err := read(p.server, false)
		if err != nil {
			return
		}
		p.mu.Lock()
		mute := p.mute
		p.mu.Unlock()
		if mute {
			if message[0] == 'Z' { // ready for the next statement: this one is over
				return
			}
			continue
		}
		if _, err := p.client.Write(message); err != nil {
			return
		}
	}
}

// end closes and forgets the pair.
func (p *pair) end() {
	p.close()
	p.proxy.mu.Lock()
	defer p.proxy.mu.Unlock()
	delete(p.proxy.pairs, p)
}

// read reads one message.
func read(from io.Reader, first bool) ([]byte, error) {
	head := make([]byte, 5)
	if first {
		head = head[:4]
	}
	if _, err := io.ReadFull(from, head); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(head[len(head)-4:])) - 4
	message := make([]byte, len(head)+n)
	copy(message, head)
	_, err := io.ReadFull(from, message[len(head):])
	return message, err
}
