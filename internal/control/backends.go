package control

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/plain"
)

// Backends are the model servers of the service.
type Backends interface {
	// Backends returns the states, sorted by address, and BackendsOf those of the servers of a model.
	Backends() []batholith.BackendState
	BackendsOf(model string) []batholith.BackendState
	// DrainBackend makes all processes send nothing new to a server, and ResumeBackend ends that.
	DrainBackend(ctx context.Context, address, by string) error
	ResumeBackend(ctx context.Context, address string) error
}

// ListBackends lists the model servers. They belong to the account of the service.
func (a *API) ListBackends(ctx context.Context, in *bedrock.ListBackendsInput) (*bedrock.ListBackendsOutput, error) {
	if err := a.mayBackend(ctx, "bedrock:ListBackends"); err != nil {
		return nil, err
	}
	out := &bedrock.ListBackendsOutput{}
	all := a.backends
	if in.ModelID != "" {
		all = func() []batholith.BackendState { return a.backendsOf(in.ModelID) }
	}
	for _, s := range all() {
		out.Backends = append(out.Backends, bedrock.BackendSummary{Name: s.Name, URL: s.Address, ModelIDs: s.Models, State: string(s.State), Reason: plain.Line(s.Why),
			InFlightCount: int64(s.InFlight), Limit: int64(s.Limit), LimitSource: s.LimitFrom, RunningCount: int64(s.Running), WaitingCount: int64(s.Waiting), Standby: s.Standby})
	}
	return out, nil
}

// DrainBackend sends nothing new to a model server.
func (a *API) DrainBackend(ctx context.Context, in *bedrock.DrainBackendInput) (*bedrock.DrainBackendOutput, error) {
	return &bedrock.DrainBackendOutput{}, a.changeBackend(ctx, "bedrock:DrainBackend", in.BackendIdentifier, func(address string) error {
		return a.Backends.DrainBackend(ctx, address, bedrock.CallerFrom(ctx).Principal)
	})
}

// ResumeBackend sends requests to a model server again.
func (a *API) ResumeBackend(ctx context.Context, in *bedrock.ResumeBackendInput) (*bedrock.ResumeBackendOutput, error) {
	return &bedrock.ResumeBackendOutput{}, a.changeBackend(ctx, "bedrock:ResumeBackend", in.BackendIdentifier, func(address string) error {
		return a.Backends.ResumeBackend(ctx, address)
	})
}

// changeBackend changes every server that a name means: a URL, or the host and port of one or several URLs.
func (a *API) changeBackend(ctx context.Context, action, name string, change func(address string) error) error {
	if err := a.mayBackend(ctx, action); err != nil {
		return err
	}
	found := false
	var names []string
	for _, s := range a.backends() {
		names = append(names, s.Name)
		if !means(name, s) {
			continue
		}
		found = true
		if err := change(s.Address); err != nil {
			return fmt.Errorf("change backend %s: %w", s.Address, err)
		}
	}
	if !found {
		return bedrock.NotFound("There is no model server %s. There are: %s.", plain.Line(name), strings.Join(slices.Compact(names), ", "))
	}
	return nil
}

// means reports whether a name stands for a server: its URL, its host and port, or for a server that a worker starts its name without
// ".localhost".
func means(name string, s batholith.BackendState) bool {
	return name == s.Name || strings.TrimRight(name, "/") == s.Address || name+".localhost" == s.Name
}

func (a *API) backends() []batholith.BackendState {
	if a.Backends == nil {
		return nil
	}
	return a.Backends.Backends()
}

func (a *API) backendsOf(model string) []batholith.BackendState {
	if a.Backends == nil {
		return nil
	}
	return a.Backends.BackendsOf(model)
}

// mayBackend returns AccessDeniedException if the caller may not carry out an action on the model servers. They serve all accounts, and belong
// to that of the service: callers of other accounts have no right to them, whatever the policies say.
func (a *API) mayBackend(ctx context.Context, action string) error {
	if who := bedrock.CallerFrom(ctx); a.Account != "" && who.Account != a.Account {
		return bedrock.AccessDenied("User: %s is not authorized to perform: %s because the model servers belong to account %s", who.Principal, action, a.Account)
	}
	return a.mayAccount(ctx, action, "backend/*", nil)
}

// tellBackends adds the model servers to which a job's records go to an answer about a job that has not ended.
func tellBackends(out *bedrock.JobSummary, states []batholith.BackendState) {
	if len(states) == 0 {
		return
	}
	if out.Batholith == nil {
		out.Batholith = &bedrock.JobNotes{}
	}
	for _, s := range states {
		out.Batholith.Backends = append(out.Batholith.Backends, bedrock.JobBackend{Name: s.Name, State: string(s.State)})
	}
}
