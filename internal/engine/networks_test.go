package engine

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/network"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/upstream"
)

// reaching are networks on the loopback interface: the group open allows the port of a server, the group closed nothing.
func reaching(t *testing.T, server *httptest.Server) Networks {
	t.Helper()
	to := netip.MustParseAddrPort(server.Listener.Addr().String())
	models, err := OpenModels(ModelOptions{Embedded: true, Served: []Served{{Model: batholith.Model{ID: "anthropic.model"}, Backends: []upstream.Options{{URL: server.URL + "/v1"}}},
		{Model: batholith.Model{ID: "anthropic.named"}, Backends: []upstream.Options{{URL: "http://model.test/v1"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	return Networks{Models: models, Networks: network.New([]network.Subnet{{ID: "s", Source: netip.MustParseAddr("127.0.0.1")}},
		[]network.Group{{ID: "open", Egress: []network.Rule{{Prefix: netip.PrefixFrom(to.Addr(), 32), First: to.Port(), Last: to.Port()}}}, {ID: "closed"}})}
}

func vpcOf(group string) batholith.VPC {
	return batholith.VPC{SubnetIDs: []string{"s"}, SecurityGroupIDs: []string{group}}
}

func TestAJobReachesItsBucketsThroughItsNetworkOnly(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Length", "1")
		_, _ = w.Write([]byte("x"))
	}))
	defer server.Close()
	const role = "arn:aws:iam::000000000000:role/own"
	p, err := NewPlaces(object.Config{Endpoint: server.URL, PathStyle: true, Region: "us-east-1", AccessKeyID: "own", SecretAccessKey: "x"}, role, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Networks = reaching(t, server)
	open := func(vpc *batholith.VPC) (blob.Place, error) {
		return p.Open(t.Context(), batholith.Job{ID: "abcdefghij00", Request: batholith.Request{RoleARN: role, VPC: vpc, Input: batholith.Location{URI: "s3://in/a"}, Output: batholith.Location{URI: "s3://out/b/"}}})
	}
	for _, group := range []string{"", "open", "closed"} { // the first two leave idle connections
		var vpc *batholith.VPC
		if group != "" {
			v := vpcOf(group)
			vpc = &v
		}
		place, err := open(vpc)
		if err != nil {
			t.Fatal(err)
		}
		before := asked.Load()
		for name, err := range map[string]error{"head": second(place.Input.Head(t.Context(), "a")), "put": place.Output.Put(t.Context(), "b/c", []byte("x"))} {
			if group != "closed" {
				if err != nil {
					t.Errorf("%s through %q: %v", name, group, err)
				}
				continue
			}
			if !errors.Is(err, batholith.ErrAccessDenied) || !strings.Contains(err.Error(), "the S3 cannot be reached: security group closed has no egress rule for "+server.Listener.Addr().String()) {
				t.Errorf("%s through a closed group: %v", name, err)
			}
		}
		if n := asked.Load() - before; (n > 0) == (group == "closed") {
			t.Errorf("through %q, %d requests reached the S3", group, n)
		}
	}
	unknown := vpcOf("gone")
	if _, err := open(&unknown); !errors.Is(err, batholith.ErrAccessDenied) || !strings.Contains(err.Error(), "security group gone is not configured here any more") {
		t.Error(err)
	}
	// An S3 inside the process is not judged.
	p.Near = func(_, _, _, _ string, far blob.Bucket) blob.Bucket { return far }
	closed := vpcOf("closed")
	if place, err := open(&closed); err != nil || second(place.Input.Head(t.Context(), "a")) != nil {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestOnlyWhatIsCertainlyOutOfReachIsRefused(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	n := reaching(t, server)
	for _, tt := range []struct{ group, model, s3, want string }{
		{"open", "anthropic.model", server.URL, ""},
		{"closed", "anthropic.model", "", "no model server can be reached: security group closed has no egress rule for 127.0.0.1:"},
		{"closed", "anthropic.named", "", ""},
		{"closed", "batholith.tiny-v1", "", ""},
		{"closed", "batholith.tiny-v1", server.URL, "the S3 cannot be reached: security group closed has no egress rule for 127.0.0.1:"},
		{"closed", "batholith.tiny-v1", "https://10.0.0.1", "10.0.0.1:443"},
		{"closed", "batholith.tiny-v1", "https://s3.test", ""},
	} {
		n.S3 = nil
		if tt.s3 != "" {
			n.S3, _ = url.Parse(tt.s3)
		}
		if got := n.Refuses(vpcOf(tt.group), tt.model); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

func TestAModelInsideTheProcessHasOneQueueForAllNetworks(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	n := reaching(t, server)
	vpc := vpcOf("closed")
	j := batholith.Job{Request: batholith.Request{VPC: &vpc}}
	for model, routed := range map[string]bool{"anthropic.model": true, "batholith.tiny-v1": false} {
		s, _ := n.Models.Serving(model)
		over, key, err := n.backends(j, s.Backends)
		if err != nil || (key != "") != routed || (over[0] != s.Backends[0]) != routed {
			t.Error(model, key, err)
		}
		plain, key, err := n.backends(batholith.Job{}, s.Backends)
		if err != nil || key != "" || plain[0] != s.Backends[0] {
			t.Error("a job without vpcConfig is routed:", model, key, err)
		}
	}
}

func TestManyNetworksKeepABoundedNumberOfClients(t *testing.T) {
	var subnets []network.Subnet
	for i := range mostRoutes + 50 {
		subnets = append(subnets, network.Subnet{ID: fmt.Sprint("s", i)})
	}
	all, r := network.New(subnets, []network.Group{{ID: "sg"}}), routes{}
	as := access{standing: &object.Standing{}, base: object.Config{Endpoint: "http://127.0.0.1:1", PathStyle: true, Region: "us-east-1", AccessKeyID: "own", SecretAccessKey: "x", HTTPClient: object.NewHTTPClient(nil)}}
	for _, s := range subnets {
		n, err := all.Of([]string{s.ID}, []string{"sg"})
		if err != nil {
			t.Fatal(err)
		}
		one, err := r.over(as, n)
		if err != nil {
			t.Fatal(err)
		}
		again, err := r.over(as, n)
		if err != nil || one.client != again.client || one.client == nil {
			t.Fatalf("one network has two clients: %v", err)
		}
		if len(r.http) > mostRoutes || len(r.clients) > mostRoutes {
			t.Fatalf("%d and %d clients are kept", len(r.http), len(r.clients))
		}
	}
}
