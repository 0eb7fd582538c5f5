package dispatch

import (
	"cmp"
	"maps"
	"slices"

	"github.com/batholith/batholith/internal/limit"
)

// State is what a Dispatcher does at one moment, for metrics.
type State struct {
	Servers []ServerState // one for each model server, sorted by backend and model
	Queues  []QueueState  // one for each model with jobs, sorted by model
}

// ServerState is one model server, for all networks through which it is reached.
type ServerState struct {
	Backend string // host and port
	Model   string // catalogue id
	Usable  bool   // it gets requests
	Address string // base URL; "": the backend has none
	Out     string // why it gets no requests; "": it does, or is drained
	Standby bool
	Drained bool // an operator drains it
	Paused  int  // classes of requests that wait because the server fails on them

	Sample       limit.Sample // its limit, and what is in flight
	Calls        int          // interactive calls in flight
	WaitingCalls int          // interactive calls that wait for a slot
}

// QueueState is what waits for one model.
type QueueState struct {
	Model string
	Jobs  int // jobs that this worker has in its queue
	Late  int // of these, jobs that are expected to end after their timeout
	Ready int // records in memory that wait for a slot
}

// State returns the present state. It takes each lock only for a moment, one after the other, so the numbers are not of exactly the same
// time.
func (d *Dispatcher) State() State {
	d.mu.Lock()
	hosts, queues := slices.Collect(maps.Values(d.hosts)), slices.Collect(maps.Values(d.queues))
	d.mu.Unlock()
	var s State
	for _, h := range hosts {
		if server, ok := h.state(); ok {
			s.Servers = append(s.Servers, server)
		}
	}
	slices.SortFunc(s.Servers, func(a, b ServerState) int {
		return cmp.Or(cmp.Compare(a.Backend, b.Backend), cmp.Compare(a.Model, b.Model))
	})
	models := map[string]QueueState{}
	for _, q := range queues {
		models[q.model] = q.state(models[q.model])
	}
	for _, model := range slices.Sorted(maps.Keys(models)) {
		s.Queues = append(s.Queues, models[model])
	}
	return s
}

// state is the state of a server; false for one without lanes.
func (h *host) state() (s ServerState, ok bool) {
	h.mu.Lock()
	lanes := slices.Clone(h.lanes)
	h.mu.Unlock()
	if len(lanes) == 0 {
		return s, false
	}
	first := lanes[0]
	s = ServerState{Backend: first.backend.String(), Model: first.model, Sample: first.sample()}
	s.Calls, s.WaitingCalls = h.limit.Callers()
	s.Address, s.Standby = AddressOf(first.backend), first.standby()
	for _, l := range lanes {
		s.Usable = s.Usable || l.usable()
		l.mu.Lock()
		s.Out = l.out
		s.Drained = s.Drained || l.drained
		l.mu.Unlock()
		s.Paused += int(l.paused.Load())
	}
	return s, true
}

// state adds the queue to the state of its model.
func (q *queue) state(s QueueState) QueueState {
	q.mu.Lock()
	defer q.mu.Unlock()
	s.Model = q.model
	s.Jobs += len(q.feeds)
	for _, f := range q.feeds {
		s.Ready += f.sendable()
		if f.outlook.late && !f.outlook.urgent {
			s.Late++
		}
	}
	return s
}
