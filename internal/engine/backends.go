package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dispatch"
)

// Model servers can be drained. The drained ones are stored in the database, so that all processes know them, also after a restart. A process
// that drains a server does so before it answers; the others see it within drainsEvery.
//
//	stored, and the process dies       the next start reads it before it sends anything
//	stored, others do not know it yet  they send for up to drainsEvery more
const drainsEvery = time.Second

// Drains stores the drained servers.
type Drains interface {
	Drain(ctx context.Context, address, by string) error
	Undrain(ctx context.Context, address string) error
	Drains(ctx context.Context) ([]batholith.Drain, error)
}

// readDrains reads the drained servers and obeys.
func (e *Engine) readDrains(ctx context.Context) error {
	all, err := e.o.Store.Drains(ctx)
	if err != nil {
		return err
	}
	if before := e.drains.Swap(&all); before != nil && slices.Equal(*before, all) {
		return nil
	}
	e.dispatch.Drain(func(b dispatch.Backend) bool {
		return slices.ContainsFunc(all, func(d batholith.Drain) bool { return d.Address == dispatch.AddressOf(b) })
	})
	return nil
}

// followDrains reads the drained servers once a second until ctx ends, because other processes change them. An error is told once.
func (e *Engine) followDrains(ctx context.Context) {
	failed := false
	for ctx.Err() == nil {
		err := e.readDrains(ctx)
		if err != nil && ctx.Err() == nil && !failed {
			e.o.Log.Warn("the drained model servers cannot be read", "err", err)
		}
		failed = err != nil
		pause(ctx, drainsEvery)
	}
}

// DrainBackend makes all processes send nothing new to a server.
func (e *Engine) DrainBackend(ctx context.Context, address, by string) error {
	if err := e.o.Store.Drain(ctx, address, by); err != nil {
		return err
	}
	return e.readDrains(ctx)
}

// ResumeBackend ends that.
func (e *Engine) ResumeBackend(ctx context.Context, address string) error {
	if err := e.o.Store.Undrain(ctx, address); err != nil {
		return err
	}
	return e.readDrains(ctx)
}

// Backends returns the model servers of all processes, sorted by address, without those inside the process. What other processes say is
// a few seconds old.
func (e *Engine) Backends() []batholith.BackendState {
	all := append(e.peers.backends(e.id), e.backends())
	drains := []batholith.Drain{}
	if now := e.drains.Load(); now != nil {
		drains = *now
	}
	merged := batholith.MergeBackends(all...)
	for _, d := range drains {
		if !slices.ContainsFunc(merged, func(s batholith.BackendState) bool { return s.Address == d.Address }) {
			merged = append(merged, batholith.BackendState{Address: d.Address, Name: d.Address}) // in the settings of no process any more
		}
	}
	return batholith.Drained(merged, drains)
}

// BackendsOf returns those of them that serve a model, by the name that a job gives.
func (e *Engine) BackendsOf(model string) (of []batholith.BackendState) {
	m, ok := e.o.Models.Lookup(model)
	id := model
	if ok {
		id = m.ID
	}
	for _, s := range e.Backends() {
		if slices.Contains(s.Models, id) {
			of = append(of, s)
		}
	}
	return of
}

// backends are the model servers as this process sees them. A worker knows the servers that it starts; an API does not send to those.
func (e *Engine) backends() (all []batholith.BackendState) {
	for _, m := range e.o.Models.Models() {
		s, _ := e.o.Models.Serving(m.ID)
		for _, b := range s.Backends {
			if inside(b) || !e.o.Worker && started(b) {
				continue
			}
			all = append(all, batholith.BackendState{Address: dispatch.AddressOf(b), Name: b.String(), Models: []string{m.ID}, State: batholith.BackendIdle, Limit: b.MaxInFlight()})
		}
	}
	if e.dispatch == nil {
		return batholith.MergeBackends(all)
	}
	for _, s := range e.dispatch.State().Servers {
		at := slices.IndexFunc(all, func(b batholith.BackendState) bool {
			return b.Address == s.Address && slices.Contains(b.Models, s.Model)
		})
		if at < 0 {
			continue // it is in the process, or not in the settings any more
		}
		b := &all[at]
		b.InFlight, b.Limit, b.LimitFrom, b.Standby = s.Sample.InFlight, s.Sample.Limit, s.Sample.Source, s.Standby
		b.Running, b.Waiting = s.Sample.Gauges.Running, s.Sample.Gauges.Waiting
		switch {
		case s.Paused > 0:
			b.State, b.Why = batholith.BackendPaused, fmt.Sprintf("requests of %d kinds wait because it fails on them", s.Paused)
		case s.Usable:
			b.State = batholith.BackendReady
		case s.Out != "" && s.Out != dispatch.Unchecked:
			b.State, b.Why = batholith.BackendUnreachable, s.Out
		}
	}
	return batholith.MergeBackends(all)
}

// inside reports whether a backend is in this process.
func inside(b dispatch.Backend) bool {
	i, ok := b.(interface{ Inside() bool })
	return ok && i.Inside()
}

// backends are the servers of the other processes, by process.
func (p *peers) backends(self string) (all [][]batholith.BackendState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.known {
		if one.ID != self {
			all = append(all, one.Backends)
		}
	}
	return all
}

// saidAgain is the time after which a changed number in flight is stored for the other processes.
const saidAgain = 10 * time.Second

// changed reports whether the other processes should know what the servers do now: at once if a state or limit changes or the last request lands, and
// otherwise after saidAgain.
func changedBackends(before, now []batholith.BackendState, since time.Duration) bool {
	brief := func(all []batholith.BackendState) string {
		all = slices.Clone(all)
		for i := range all {
			if all[i].InFlight > 0 {
				all[i].InFlight = 1
			}
		}
		text, _ := json.Marshal(all) // it has no values that cannot be encoded
		return string(text)
	}
	return brief(before) != brief(now) || since >= saidAgain && !slices.EqualFunc(before, now, func(a, b batholith.BackendState) bool { return cmp.Compare(a.InFlight, b.InFlight) == 0 })
}
