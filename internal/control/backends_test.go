package control

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/bedrock"
)

// someBackends are two servers of the model "m".
type someBackends struct{ drained map[string]string }

func (s *someBackends) Backends() []batholith.BackendState {
	return []batholith.BackendState{
		{Address: "http://10.0.0.1:8000/v1", Name: "10.0.0.1:8000", Models: []string{"m"}, State: batholith.BackendReady, InFlight: 3, Limit: 8, LimitFrom: "slots"},
		{Address: "http://llama-server.localhost/v1", Name: "llama-server.localhost", Models: []string{"m"}, State: batholith.BackendIdle},
	}
}

func (s *someBackends) BackendsOf(string) []batholith.BackendState { return s.Backends() }

func (s *someBackends) DrainBackend(_ context.Context, address, by string) error {
	s.drained[address] = by
	return nil
}

func (s *someBackends) ResumeBackend(_ context.Context, address string) error {
	delete(s.drained, address)
	return nil
}

func TestAServerIsDrainedByAnyOfItsNames(t *testing.T) {
	servers := &someBackends{drained: map[string]string{}}
	a := newTester(func(o *Options) { o.Backends, o.Account = servers, bedrock.CallerFrom(as("111122223333")).Account })
	a.ctx = as("111122223333")
	for name, address := range map[string]string{"10.0.0.1:8000": "http://10.0.0.1:8000/v1", "http://10.0.0.1:8000/v1/": "http://10.0.0.1:8000/v1", "llama-server": "http://llama-server.localhost/v1"} {
		if _, err := a.DrainBackend(a.ctx, &bedrock.DrainBackendInput{BackendIdentifier: name}); err != nil || servers.drained[address] == "" {
			t.Errorf("drain %s: %v, drained are %v", name, err, servers.drained)
		}
		if _, err := a.ResumeBackend(a.ctx, &bedrock.ResumeBackendInput{BackendIdentifier: name}); err != nil || len(servers.drained) > 0 {
			t.Errorf("resume %s: %v, drained are %v", name, err, servers.drained)
		}
	}
	_, err := a.DrainBackend(a.ctx, &bedrock.DrainBackendInput{BackendIdentifier: "10.0.0.9:1"})
	refused(t, err, bedrock.CodeResourceNotFound, "There is no model server 10.0.0.9:1. There are: 10.0.0.1:8000, llama-server.localhost.")
	out, err := a.ListBackends(a.ctx, &bedrock.ListBackendsInput{})
	if err != nil {
		t.Fatal(err)
	}
	want := bedrock.BackendSummary{Name: "10.0.0.1:8000", URL: "http://10.0.0.1:8000/v1", ModelIDs: []string{"m"}, State: "ready", InFlightCount: 3, Limit: 8, LimitSource: "slots"}
	if d := cmp.Diff(want, out.Backends[0]); d != "" {
		t.Error(d)
	}
}

// The servers are the operator's: neither another account nor a principal without a permit sees or drains them.
func TestModelServersBelongToTheAccountOfTheService(t *testing.T) {
	servers := &someBackends{drained: map[string]string{}}
	set, err := authz.Parse("p", `permit(principal, action == Action::"bedrock:ListBackends", resource);`)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		account       string
		lists, drains bool
		authorizer    Authorizer
	}{{"111122223333", true, true, nil}, {"444455556666", false, false, nil}, {"111122223333", true, false, decided{set}}} {
		a := newTester(func(o *Options) { o.Backends, o.Account, o.Authorizer = servers, "111122223333", c.authorizer })
		_, err := a.ListBackends(as(c.account), &bedrock.ListBackendsInput{})
		if (err == nil) != c.lists {
			t.Errorf("list as %s: %v", c.account, err)
		}
		if _, err = a.DrainBackend(as(c.account), &bedrock.DrainBackendInput{BackendIdentifier: "10.0.0.1:8000"}); (err == nil) != c.drains {
			t.Errorf("drain as %s: %v", c.account, err)
		}
		if err != nil {
			refused(t, err, bedrock.CodeAccessDenied, "bedrock:DrainBackend")
		}
	}
}
