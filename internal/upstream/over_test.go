package upstream

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/network"
)

func TestABackendOverANetworkIsTheSameServerByOtherConnections(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"choices":[]}`)) }))
	defer srv.Close()
	rule, err := network.ParseRule("127.0.0.1:*")
	if err != nil {
		t.Fatal(err)
	}
	all := network.New([]network.Subnet{{ID: "s"}}, []network.Group{{ID: "open", Egress: []network.Rule{rule}}, {ID: "closed"}})
	open, _ := all.Of([]string{"s"}, []string{"open"})
	closed, _ := all.Of([]string{"s"}, []string{"closed"})
	b, err := New(Options{URL: srv.URL + "/v1", Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	call := batholith.Call{Path: "/chat/completions", Body: []byte(`{}`)}
	for _, via := range []*Backend{b, b.Over(open)} {
		if _, err := via.Do(t.Context(), call); err != nil { // leaves an idle connection
			t.Fatal(err)
		}
	}
	if b.Over(open) != b.Over(open) || b.Over(open).Key() == b.Over(closed).Key() || b.Over(open).Key() == b.Key() || b.Over(open).Server() != b.Server() {
		t.Error("keys:", b.Key(), b.Over(open).Key(), b.Over(closed).Key())
	}
	for _, fresh := range []bool{false, true} {
		call.Fresh = fresh
		_, err = b.Over(closed).Do(t.Context(), call)
		f, ok := errors.AsType[*batholith.Failure](err)
		if !ok || f.Kind != batholith.FailureUnreachable || f.Sent || !strings.Contains(f.Public, "security group closed has no egress rule for "+b.host+"; add '127.0.0.1/32:") {
			t.Errorf("fresh %v: %+v", fresh, err)
		}
	}
	if b.Refused(closed) == nil || b.Refused(open) != nil {
		t.Error("what is certain is not told")
	}
	named, err := New(Options{URL: "http://localhost:1/v1"})
	if err != nil || named.Refused(closed) != nil {
		t.Error("a name is judged before it is resolved", err)
	}
	inside, err := New(Options{URL: "http://x.embedded/v1", Transport: InProcess(http.NotFoundHandler())})
	if err != nil || inside.Over(closed) != inside || inside.Refused(closed) != nil {
		t.Error("an embedded model is judged by rules", err)
	}
}

func TestManyNetworksKeepABoundedNumberOfConnectionPools(t *testing.T) {
	var subnets []network.Subnet
	for i := range 2 * mostNetworks {
		subnets = append(subnets, network.Subnet{ID: fmt.Sprint("s", i)})
	}
	all := network.New(subnets, []network.Group{{ID: "sg"}})
	b, err := New(Options{URL: "http://127.0.0.1:1/v1", Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range subnets {
		n, err := all.Of([]string{s.ID}, []string{"sg"})
		if err != nil {
			t.Fatal(err)
		}
		over := b.Over(n)
		if over != b.Over(n) || over.Server() != b.Server() {
			t.Fatal("one network has two connection pools")
		}
		if len(b.networks.of) > mostNetworks {
			t.Fatalf("%d connection pools are kept", len(b.networks.of))
		}
	}
}
