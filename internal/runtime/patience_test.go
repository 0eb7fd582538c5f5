package runtime

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	_ "github.com/batholith/batholith/internal/raced"
)

// oneConn is a listener with one connection.
type oneConn struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l oneConn) Close() error   { close(l.done); return nil }
func (l oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// slow lanes answer after five minutes, unless the call is called off.
type slow struct{ *lanes }

func (s slow) Interact(ctx context.Context, a Ask, do func(context.Context, Turn) error) error {
	select {
	case <-time.After(5 * time.Minute):
		return s.lanes.Interact(ctx, a, do)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// The times of the listener are for requests and answers on their way. A model may take longer.
func TestAModelMayTakeLongerThanARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := slow{&lanes{answer: batholith.Answer{Output: []byte(`{"a":1}`)}}}
		h := NewHandler(Options{Models: catalogue{}, Lanes: l, Authenticate: func(*http.Request, []byte) (bedrock.Caller, error) { return bedrock.Caller{}, nil }})
		srv := &http.Server{Handler: h, ReadTimeout: time.Minute, WriteTimeout: 2 * time.Minute}
		client, server := net.Pipe()
		ln := oneConn{make(chan net.Conn, 1), make(chan struct{})}
		ln.conns <- server
		go srv.Serve(ln)
		defer srv.Close()
		defer client.Close()
		for range 2 { // the connection is kept, and its next request has its own time
			if _, err := client.Write([]byte("POST /model/alias/converse HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")); err != nil {
				t.Fatal(err)
			}
			head, err := bufio.NewReaderSize(client, 64).ReadString('\n')
			if err != nil || !strings.Contains(head, "200 OK") {
				t.Fatalf("%q %v", head, err)
			}
			rest := make([]byte, 4096)
			for !strings.Contains(string(rest), `{"a":1}`) {
				n, err := client.Read(rest)
				if err != nil {
					t.Fatal(err)
				}
				rest = append(rest[:n:n], make([]byte, 4096)...)
			}
		}
	})
}
