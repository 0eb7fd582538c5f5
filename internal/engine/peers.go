package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/batholith/batholith"
)

// peers are the processes of the database, as one of them knows them.
type peers struct {
	mu    sync.Mutex
	known map[string]peer // by id
	born  time.Time       // of the first look that succeeded; zero: none yet
}

type peer struct {
	batholith.Process
	seen time.Time
}

const (
	// peersEvery is the time between two looks at the processes.
	peersEvery = 2 * time.Second
	// peersStay is how long a process that is gone counts as present: as long as a restart takes.
	peersStay = 10 * time.Second
	// peersKnown is how long after its first look a process knows the others.
	peersKnown = 2*peersEvery + reachAgain
	// reachEvery is the time between two stores of what a process reaches, and reachAgain the time between two looks whether it has changed.
	reachEvery, reachAgain = time.Minute, time.Second
)

// look reads the living processes.
func (p *peers) look(ctx context.Context, s Store) error {
	all, err := s.Processes(ctx)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.known == nil {
		p.known, p.born = map[string]peer{}, now
	}
	for _, one := range all {
		p.known[one.ID] = peer{one, now}
	}
	for id, one := range p.known {
		if now.Sub(one.seen) > peersStay {
			delete(p.known, id)
		}
	}
	return nil
}

// apis returns the number of API processes, at least 1.
func (p *peers) apis() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, one := range p.known {
		if one.API {
			n++
		}
	}
	return max(n, 1)
}

// unreached says why no worker runs a job; "": one does, or it is not known yet.
func (p *peers) unreached(j batholith.Job) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.born.IsZero() || time.Since(p.born) < peersStay {
		return ""
	}
	workers := 0
	for _, one := range p.known {
		if one.Reaches(j) {
			return ""
		}
		if one.Worker {
			workers++
		}
	}
	if workers == 0 {
		return "No worker is running, so the job waits. Start one: batholith serve with the role worker and the same store."
	}
	if why := p.older(j); why != "" {
		return why
	}
	if j.Status == batholith.StatusStopping {
		return "" // every worker can end it
	}
	what, it := "the model "+j.Model, "it"
	if j.VPC != nil {
		what += ", the subnets " + strings.Join(j.VPC.SubnetIDs, ", ") + " and the security groups " + strings.Join(j.VPC.SecurityGroupIDs, ", ")
		it = "all of them"
	}
	return fmt.Sprintf("No running worker has %s, so the job waits. Start a worker whose settings have %s.", what, it)
}

// older says why no worker runs a job that one with a newer program could run; "": that is not the reason. The caller holds p.mu.
func (p *peers) older(j batholith.Job) string {
	for _, one := range p.known {
		newer := one.Process
		newer.Features = j.Needs
		if lacking := batholith.Lacks(one.Features, j.Needs); len(lacking) > 0 && newer.Reaches(j) {
			return fmt.Sprintf("The job needs features that no running worker has (%s), so it waits. Start a worker with the version of this API process.", batholith.FeatureList(lacking))
		}
	}
	return ""
}

// ignoring returns the id of a living worker whose program is so old that it would run a job without regard to what the job needs; "": there is
// none, as far as is known.
func (p *peers) ignoring() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, one := range p.known {
		if one.Ignores() && time.Since(one.seen) < peersStay {
			return id
		}
	}
	return ""
}

// reach is what this process is and reaches.
func (e *Engine) reach() batholith.Process {
	p := batholith.Process{ID: e.id, API: e.o.API, Worker: e.o.Worker}
	if !p.Worker {
		return p
	}
	for _, m := range e.o.Models.Models() {
		p.Models = append(p.Models, m.ID)
	}
	p.Features = batholith.Features()
	now := e.live.Load()
	p.Subnets, p.SecurityGroups = now.subnets, now.groups
	return p
}

// reaches reports whether this worker can run a job.
func (e *Engine) reaches() func(batholith.Job) bool {
	if !e.o.Shared {
		return nil
	}
	return func(j batholith.Job) bool { return e.reach().Reaches(j) && e.o.Models.Takes(j.ModelID, j.Type) == nil }
}

// announce stores what this process reaches and what its model servers do, until ctx ends: once a minute, and when that has changed.
func (e *Engine) announce(ctx context.Context) {
	var said batholith.Process
	var at time.Time
	again := true
	for ctx.Err() == nil {
		own := e.reach()
		own.Backends = e.backends()
		if again || time.Since(at) >= reachEvery || changedBackends(said.Backends, own.Backends, time.Since(at)) {
			err := e.o.Store.PutReach(ctx, own)
			if again = err != nil; again && ctx.Err() == nil && !errors.Is(err, batholith.ErrNotFound) { // not found: before the first heartbeat
				e.o.Log.Debug("store what this process reaches", "err", err)
			}
			said, at = own, time.Now()
		}
		select {
		case <-time.After(reachAgain):
		case <-e.reached:
			again = true
		case <-ctx.Done():
		}
	}
}

// sharedLease is the length of the lease of a worker that shares the database. It is renewed every fifth of it, and the others look at it as
// often. So its chunks are claimed by others at most sharedLease + sharedLease/5 after its last heartbeat: less than 5 s after it died.
const sharedLease = 4 * time.Second

// workers returns the number of workers that have a model, at least 1. It is 0 while this process may not have seen all of them: workers that
// started at the same moment have stored what they reach by then.
func (p *peers) workers(model string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.born.IsZero() || time.Since(p.born) < peersKnown {
		return 0
	}
	n := 0
	for _, one := range p.known {
		if one.Worker && slices.Contains(one.Models, model) {
			n++
		}
	}
	return max(n, 1)
}

// watchPeers looks at the processes until ctx ends.
func (e *Engine) watchPeers(ctx context.Context) {
	for ctx.Err() == nil {
		if err := e.peers.look(ctx, e.o.Store); err != nil && ctx.Err() == nil {
			e.o.Log.Debug("look at the processes", "err", err)
		}
		pause(ctx, peersEvery)
	}
}

// leaveTime is the timeout of leave.
const leaveTime = 2 * time.Second

// leave gives this process's lease up, so that others need not wait for its end. Without it they wait for the length of a lease.
func (e *Engine) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	if err := e.o.Store.Heartbeat(ctx, e.id, time.Now()); err != nil {
		e.o.Log.Debug("give up the lease", "err", err)
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
