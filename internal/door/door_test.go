package door

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// network is a listener in memory whose clients have the addresses that a test gives them.
type network struct {
	incoming chan any // net.Conn or error
	done     chan struct{}
}

func newNetwork() *network {
	return &network{incoming: make(chan any, 4096), done: make(chan struct{})}
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case v := <-n.incoming:
		if err, ok := v.(error); ok {
			return nil, err
		}
		return v.(net.Conn), nil
	case <-n.done:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error   { close(n.done); return nil }
func (n *network) Addr() net.Addr { return privateAddr{} }

// from dials as a client with this address.
func (n *network) from(address string) net.Conn {
	client, server := net.Pipe()
	n.incoming <- named{server, address}
	return client
}

type named struct {
	net.Conn
	address string
}

func (c named) RemoteAddr() net.Addr { return c }
func (c named) Network() string      { return "tcp" }
func (c named) String() string       { return c.address }

// accepted is the door's next connection.
func accepted(t *testing.T, l *Listener) *Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c.(*Conn)
}

// open tells whether a client's connection is still open: a read waits.
func open(client net.Conn) bool {
	client.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := client.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

const here = "127.0.0.1:1000"

// A stranger with the key holder's own address opens as many connections as it likes.
func TestStrangersNeverTakeAKeyHoldersPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		l := Listen(n, Limits{Open: 8, Strangers: 4, PerAddress: 4}, nil)
		defer l.Close()
		holder := n.from(here)
		accepted(t, l).Prove()
		var strangers []net.Conn
		for range 100 {
			strangers = append(strangers, n.from(here))
			accepted(t, l)
		}
		if !open(holder) {
			t.Error("the key holder's connection is closed")
		}
		for i, s := range strangers {
			if want := i >= 96; open(s) != want {
				t.Errorf("stranger %d of 100 has its connection: %v, and there is room for 4", i, !want)
			}
		}
		late := n.from(here)
		accepted(t, l).Prove()
		if !open(late) {
			t.Error("a key holder who came late has no connection")
		}
	})
}

func TestAnAddressGivesUpItsOwnConnectionsFirst(t *testing.T) {
	for name, greedy := range map[string]func(i int) string{
		"IPv4": func(int) string { return "192.0.2.1:1" },
		"IPv6": func(i int) string { return "[2001:db8::" + string(rune('a'+i%6)) + "]:1" }, // one host has a whole /64
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				l := Listen(n, Limits{Open: 100, Strangers: 8, PerAddress: 6}, nil)
				defer l.Close()
				var others []net.Conn
				for _, a := range []string{"198.51.100.1:1", "198.51.100.2:1", "[2001:db8:1::a]:1"} {
					others = append(others, n.from(a))
					accepted(t, l)
				}
				for i := range 50 {
					n.from(greedy(i))
					accepted(t, l)
				}
				for i, c := range others {
					if !open(c) {
						t.Errorf("address %d lost its only connection to one with many", i)
					}
				}
			})
		})
	}
}

func TestKeyHoldersGiveUpOnlyConnectionsWithoutARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		l := Listen(n, Limits{Open: 3, Strangers: 3, PerAddress: 3}, nil)
		defer l.Close()
		var clients []net.Conn
		var conns []*Conn
		for range 3 {
			clients = append(clients, n.from(here))
			c := accepted(t, l)
			c.Begin()
			c.Prove()
			conns = append(conns, c)
		}
		refused := n.from(here)
		n.incoming <- io.ErrClosedPipe // so that Accept comes back when it has refused
		if _, err := l.Accept(); !errors.Is(err, io.ErrClosedPipe) || open(refused) {
			t.Error("a connection was taken while every one is in use")
		}
		conns[1].Rest()
		time.Sleep(time.Second)
		conns[0].Rest()
		n.from(here)
		accepted(t, l)
		for i, want := range []bool{true, false, true} {
			if open(clients[i]) != want {
				t.Errorf("connection %d is open: %v", i, !want)
			}
		}
	})
}

// A burst of clients with keys must not close one another's connections before their first requests are looked at.
func TestANewcomerWaitsForTheYoung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		l := Listen(n, Limits{Open: 100, Strangers: 2, PerAddress: 2, Young: 50 * time.Millisecond}, nil)
		defer l.Close()
		began := time.Now()
		a, b := n.from(here), n.from(here)
		first := accepted(t, l)
		accepted(t, l)
		c := n.from(here)
		go func() {
			time.Sleep(10 * time.Millisecond)
			first.Prove()
		}()
		accepted(t, l)
		if d := time.Since(began); d != 10*time.Millisecond || !open(a) || !open(b) || !open(c) {
			t.Errorf("after %v, open: %v %v %v; the proof of the first, after 10ms, makes room for the third", d, open(a), open(b), open(c))
		}
		n.from(here)
		accepted(t, l)
		if d := time.Since(began); d < 50*time.Millisecond || open(b) {
			t.Errorf("after %v, the oldest is open: %v; it gives way at 50ms", d, open(b))
		}
	})
}

func TestStrangersHoldNoMoreBytesThanTheirShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 64 << 10
		n := newNetwork()
		l := Listen(n, Limits{Open: 1000, Strangers: 500, PerAddress: 500, Bytes: bound}, nil)
		defer l.Close()
		send := func(client net.Conn, server *Conn, bytes int) {
			go client.Write(make([]byte, bytes))
			io.ReadFull(server, make([]byte, bytes))
		}
		holder := n.from(here)
		upload := accepted(t, l)
		upload.Prove()
		send(holder, upload, 10*bound) // counts for nothing
		for i := range 100 {
			client := n.from(here)
			send(client, accepted(t, l), 1<<10+i*100)
			if l.bytes > bound {
				t.Fatalf("%d bytes are held; the bound is %d", l.bytes, bound)
			}
			time.Sleep(time.Millisecond)
		}
		// The pool is full of what strangers sent halfway. A short request that comes now is not the one to go.
		short := n.from(here)
		server := accepted(t, l)
		send(short, server, 2<<10)
		if !open(short) {
			t.Error("a request that has just come was closed for what strangers hold")
		}
		if !open(holder) {
			t.Error("a key holder's upload was closed")
		}
		before := l.bytes
		server.Rest()
		if l.bytes != before-2<<10 {
			t.Error("a request that is over is still counted")
		}
	})
}

// A machine under load keeps an honest caller's short request waiting for a second. A flood that comes then closes itself.
func TestAShortRequestIsNotClosedForItsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound = 64 << 10
		n := newNetwork()
		l := Listen(n, Limits{Open: 10, Strangers: 5, PerAddress: 5, Bytes: bound}, nil)
		defer l.Close()
		short, flood := n.from(here), n.from(here)
		one, many := accepted(t, l), accepted(t, l)
		go short.Write(make([]byte, 400))
		io.ReadFull(one, make([]byte, 400))
		time.Sleep(time.Second)
		go flood.Write(make([]byte, 24))
		io.ReadFull(many, make([]byte, 24))
		many.Keep(bound) // at age 0: its product of bytes and age is the smaller
		if !open(short) || open(flood) {
			t.Errorf("open: the short request %v, the flood %v", open(short), open(flood))
		}
		if l.bytes > bound {
			t.Errorf("%d bytes are held; the bound is %d", l.bytes, bound)
		}
	})
}

// Over HTTP/2 a few bytes make a request that takes much more.
func TestMemoryOfARequestCountsUntilItIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		l := Listen(n, Limits{Open: 10, Strangers: 5, PerAddress: 5, Bytes: 1000}, nil)
		defer l.Close()
		greedy, modest := n.from(here), n.from(here)
		many, one := accepted(t, l), accepted(t, l)
		release := one.Keep(200)
		for range 4 {
			time.Sleep(time.Millisecond)
			many.Keep(200)
		}
		if !open(greedy) || !open(modest) || l.bytes != 1000 {
			t.Fatalf("closed at %d of 1000", l.bytes)
		}
		many.Keep(200)
		if open(greedy) || !open(modest) {
			t.Errorf("open: greedy %v, modest %v", open(greedy), open(modest))
		}
		one.Prove()
		release()
		if l.bytes != 0 {
			t.Errorf("%d bytes are counted, and there is nobody", l.bytes)
		}
	})
}

func TestAnHTTP2ConnectionCountsForItsStreamsFromItsPrefaceOn(t *testing.T) {
	for name, tt := range map[string]struct {
		sent    string
		counted int64
	}{
		"HTTP/2":            {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 1000},
		"HTTP/1":            {"PRI / HTTP/1.1\r\n", 0},
		"half of a preface": {"PRI * HTTP/2", 0},
		"later":             {"GET PRI * HTTP/2.0\r\n", 0},
	} {
		for _, piece := range []int{1, 5, 100} { // as it may come
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				l := Listen(n, Limits{Multiplexed: 1000}, nil)
				defer l.Close()
				client := n.from(here)
				c := accepted(t, l)
				go client.Write([]byte(tt.sent))
				for left := len(tt.sent); left > 0; {
					got, err := c.Read(make([]byte, piece))
					if err != nil {
						t.Fatal(err)
					}
					left -= got
				}
				if l.bytes != tt.counted+int64(len(tt.sent)) {
					t.Errorf("%s in pieces of %d: %d bytes counted", name, piece, l.bytes)
				}
				c.Rest()
				if l.bytes != tt.counted {
					t.Errorf("%s in pieces of %d: %d bytes counted at rest", name, piece, l.bytes)
				}
				c.Close()
				if l.bytes != 0 {
					t.Errorf("%s: %d bytes counted of nobody", name, l.bytes)
				}
			})
		}
	}
}

func TestStrangersAreCutOffInTime(t *testing.T) {
	limits := Limits{Idle: time.Minute, Patience: 15 * time.Second, Rate: 1000, Longest: 40 * time.Second}
	for name, tt := range map[string]struct {
		bytes int           // in each second, from the first
		live  time.Duration // how long the connection does
	}{
		"idle":          {0, time.Minute},
		"slow head":     {1, 16 * time.Second},
		"slow body":     {100, 17 * time.Second},
		"without end":   {2000, 41 * time.Second},
		"a proven one":  {0, time.Hour},
		"not so slowly": {990, 41 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				l := Listen(n, limits, nil)
				defer l.Close()
				client := n.from(here)
				c := accepted(t, l)
				if name == "a proven one" {
					c.Prove()
					if err := c.SetReadDeadline(time.Now().Add(time.Hour)); err != nil { // the server's own
						t.Fatal(err)
					}
				}
				began := time.Now()
				sent := make(chan struct{})
				defer func() { <-sent }()
				defer client.Close()
				go func() {
					defer close(sent)
					for tt.bytes > 0 {
						time.Sleep(time.Second)
						if _, err := client.Write(make([]byte, tt.bytes)); err != nil {
							return
						}
					}
				}()
				_, err := io.Copy(io.Discard, c)
				if d := time.Since(began); d < tt.live-time.Second || d > tt.live+time.Second {
					t.Errorf("it lived for %v, not %v", d, tt.live)
				}
				if name != "a proven one" && err != nil {
					t.Errorf("the server sees %v where it should see that the client has gone", err)
				}
			})
		})
	}
}

func TestTheServersOwnDeadlineHoldsBesideTheDoors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		l := Listen(n, Limits{Idle: time.Minute}, nil)
		defer l.Close()
		client := n.from(here)
		c := accepted(t, l)
		began := time.Now()
		c.SetDeadline(began.Add(10 * time.Second))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 10*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		c.SetReadDeadline(time.Time{})
		go func() {
			time.Sleep(5 * time.Second)
			c.SetReadDeadline(time.Now().Add(-time.Second)) // as servers do to take a read back
		}()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 15*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if !open(client) {
			t.Error("the server's deadline closed the connection")
		}
	})
}

// A read can wait, for the end of the connection or the next frame, while the request before it is verified.
func TestAReadThatWaitsOutlivesTheDeadlineOnceProven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		l := Listen(n, Limits{Idle: 10 * time.Second}, nil)
		defer l.Close()
		client := n.from(here)
		c := accepted(t, l)
		go func() {
			time.Sleep(5 * time.Second)
			c.Prove()
			time.Sleep(time.Hour)
			client.Write([]byte("x"))
		}()
		if n, err := c.Read(make([]byte, 1)); n != 1 {
			t.Error(err)
		}
	})
}

func TestARestMovesTheDeadlineOfAReadThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		l := Listen(n, Limits{Idle: 10 * time.Second}, nil)
		defer l.Close()
		client := n.from(here)
		c := accepted(t, l)
		began := time.Now()
		go func() {
			time.Sleep(8 * time.Second)
			c.Rest()
		}()
		if _, err := c.Read(make([]byte, 1)); err != io.EOF || time.Since(began) != 18*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		client.Close()
	})
}

func TestStrangersDoNotHoldUpAServerThatStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		l := Listen(n, Limits{}, nil)
		holder, a, b := n.from(here), n.from(here), n.from(here)
		accepted(t, l).Prove()
		accepted(t, l)
		accepted(t, l)
		l.Dismiss()
		if !open(holder) || open(a) || open(b) {
			t.Errorf("open: key holder %v, strangers %v %v", open(holder), open(a), open(b))
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accepted: %v", err)
		}
	})
}

func TestAShortageOfDescriptorsPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		l := Listen(n, Limits{}, nil)
		defer l.Close()
		holder, idle := n.from(here), n.from(here)
		accepted(t, l).Prove()
		accepted(t, l)
		for _, err := range []error{syscall.EMFILE, syscall.ENFILE, syscall.EMFILE} {
			n.incoming <- &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
		}
		next := n.from(here)
		accepted(t, l)
		if open(idle) || !open(holder) || !open(next) {
			t.Errorf("open: the stranger %v, the key holder %v, the next %v", open(idle), open(holder), open(next))
		}
		n.incoming <- errors.New("broken")
		if _, err := l.Accept(); err == nil {
			t.Error("a listener that is broken goes on")
		}
	})
}

func TestDefaultsLeaveMostDescriptorsToTheRest(t *testing.T) {
	for _, n := range []int{0, 64, 256, 1024, 4096, 20_000, 1 << 20} {
		d := Default(n)
		if n > 0 && 4*d.Open > n {
			t.Errorf("with %d descriptors two listeners take %d connections", n, 2*d.Open)
		}
		if d.Open < 8 || d.Strangers < 4 || d.Strangers > d.Open/2 || d.PerAddress < 1 || d.PerAddress > d.Strangers {
			t.Errorf("with %d descriptors: %+v", n, d)
		}
	}
}

func TestPrivateIsReachedFromInsideOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPrivate()
		go func() {
			c, err := p.Accept()
			if err == nil {
				io.Copy(c, c)
			}
		}()
		c, err := p.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 4)
		if _, err := c.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "ping" {
			t.Fatal(err)
		}
		p.Close()
		if _, err := p.Dial(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("dialled a closed listener: %v", err)
		}
		if _, err := p.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accepted on a closed listener: %v", err)
		}
		c.Close()
	})
}
