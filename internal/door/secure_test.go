package door

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith/internal/certs/certstest"
)

// secureDoor is a door with TLS, and a client's configuration.
func secureDoor(t *testing.T, n *network, limits Limits) (*Listener, *tls.Config) {
	a := certstest.New(t)
	return Listen(Secure(n, &tls.Config{Certificates: []tls.Certificate{a.Pair("localhost")}}), limits, nil),
		&tls.Config{RootCAs: a.Pool, ServerName: "localhost"}
}

func TestAHandshakeCountsAndIsForgottenWhenItIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		l, client := secureDoor(t, n, Limits{Idle: 10 * time.Second, Patience: time.Second})
		defer l.Close()
		raw := n.from(here)
		c := accepted(t, l)
		read := make(chan string)
		go func() {
			p := make([]byte, 5)
			n, err := c.Read(p)
			if err != nil {
				t.Error(err)
			}
			read <- string(p[:n])
		}()
		secure := tls.Client(raw, client)
		if err := secure.Handshake(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if l.bytes != 0 {
			t.Errorf("%d bytes are counted after the handshake", l.bytes)
		}
		time.Sleep(9 * time.Second) // a client that connects in advance has the time of one without TLS
		if _, err := secure.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if got := <-read; got != "hello" {
			t.Errorf("read %q", got)
		}
		if l.bytes <= 5 {
			t.Errorf("%d bytes are counted, and a record of TLS is longer than what is in it", l.bytes)
		}
		raw.Close()
		c.Close()
		if l.bytes != 0 {
			t.Errorf("%d bytes are counted of nobody", l.bytes)
		}
	})
}

// A stranger who begins handshakes gets no further than one who begins requests.
func TestHalfAHandshakeIsCutOffInTimeAndBytes(t *testing.T) {
	hello := append([]byte{22, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xfb}, make([]byte, 4<<10)...) // 4 KiB of the 16 that it announces
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		l, _ := secureDoor(t, n, Limits{Idle: time.Minute, Patience: 15 * time.Second, Rate: 1 << 20, Bytes: 10 << 10})
		defer l.Close()
		began := time.Now()
		ended := make(chan error, 3)
		for range 3 {
			raw := n.from(here)
			c := accepted(t, l)
			go raw.Write(hello)
			go func() {
				_, err := c.Read(make([]byte, 1))
				ended <- err
			}()
			synctest.Wait()
			time.Sleep(time.Millisecond)
			if l.bytes > 10<<10 {
				t.Errorf("%d bytes are held", l.bytes)
			}
		}
		for range 3 {
			if err := <-ended; err != io.EOF {
				t.Errorf("the server sees %v where it should see that the client has gone", err)
			}
		}
		if d := time.Since(began); d < 14*time.Second || d > 17*time.Second {
			t.Errorf("the last was cut off after %v", d)
		}
	})
}

func TestAnHTTP2ConnectionOverTLSCountsForItsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		l, client := secureDoor(t, n, Limits{Multiplexed: 1000})
		defer l.Close()
		raw := n.from(here)
		c := accepted(t, l)
		go func() {
			secure := tls.Client(raw, client)
			secure.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
		}()
		if _, err := c.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		c.Rest()
		if l.bytes != 1000 {
			t.Errorf("%d bytes are counted", l.bytes)
		}
		raw.Close()
	})
}

func TestAClientWithoutTLSIsToldSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		l, _ := secureDoor(t, n, Limits{})
		defer l.Close()
		raw := n.from(here)
		c := accepted(t, l)
		go func() {
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Error(err)
			}
			c.Close()
		}()
		go raw.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		var answer bytes.Buffer
		if _, err := io.Copy(&answer, raw); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Error(err)
		}
		if !strings.Contains(answer.String(), "https://") {
			t.Errorf("answered %q", &answer)
		}
	})
}

func TestAConnectionIsCutOffWhileItsClientReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		l, client := secureDoor(t, n, Limits{Open: 8, Strangers: 1, PerAddress: 1})
		defer l.Close()
		raw := n.from(here)
		c := accepted(t, l)
		go c.Read(make([]byte, 1))
		if err := tls.Client(raw, client).Handshake(); err != nil {
			t.Fatal(err)
		}
		n.from(here)
		accepted(t, l) // closes the first; a farewell by TLS would wait for its client
	})
}
