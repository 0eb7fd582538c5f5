package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/batholith/batholith"
)

// child is a Process at an address, or one that is not ready.
type child struct {
	address string
	ready   chan struct{}
}

func (c *child) Dial(ctx context.Context) (net.Conn, error) {
	if c.address == "" {
		return nil, &batholith.Failure{Kind: batholith.FailureUnreachable, Public: "s is being started", Message: "s is being started"}
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", c.address)
}

func (c *child) Ready() <-chan struct{} { return c.ready }
func (c *child) Progress() string       { return "for 3s" }

// A server that this process starts is reached where it listens now, whatever the proxies of the environment; while it starts, that is why
// it cannot be used.
func TestAServerOfThisProcessIsReachedByItsProcess(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "s.localhost" {
			t.Errorf("the request is for %s", r.Host)
		}
		w.Write([]byte(`{"object":"list","data":[{"id":"Qwen/Q"}]}`))
	}))
	defer server.Close()
	t.Setenv("HTTP_PROXY", "http://192.0.2.1:1")
	c := &child{ready: make(chan struct{})}
	b, err := New(Options{URL: "http://s.localhost/v1", Model: "local", Process: c, Sole: true})
	if err != nil {
		t.Fatal(err)
	}
	f, ok := errors.AsType[*batholith.Failure](b.Probe(t.Context()))
	if !ok || f.Kind != batholith.FailureUnreachable || f.Reason() != "s is being started" {
		t.Errorf("a server that starts: %v", f)
	}
	if b.Ready() != (<-chan struct{})(c.ready) || b.Progress() != "for 3s" || b.ModelName() != "local" {
		t.Errorf("%v, %q, %q", b.Ready(), b.Progress(), b.ModelName())
	}
	c.address = server.Listener.Addr().String()
	if err := b.Probe(t.Context()); err != nil || b.ModelName() != "Qwen/Q" {
		t.Errorf("%v; the only model is taken: %q", err, b.ModelName())
	}
	if b.Over(nil) != b || b.Refused(nil) != nil {
		t.Error("the networks of jobs do not apply: nothing leaves the machine")
	}
}
