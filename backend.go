package batholith

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// BackendState is a model server as one process sees it, or as all processes of a service do together.
type BackendState struct {
	Address  string   // base URL, without user and query; it names the server in all processes
	Name     string   // host and port, or the host of a server that a worker starts
	Models   []string // ids of the models that it serves, sorted
	State    BackendStatus
	Why      string // why it cannot be used, or what it fails on; holds no text of the server
	InFlight int    // requests
	Limit    int    // requests in flight at most, as configured or found; 0: not known yet
	// LimitFrom says where the limit comes from: configured, slots, gauges or goodput; "": not known yet.
	LimitFrom        string
	Running, Waiting int // requests, as the server says; 0 if it does not
	Standby          bool
}

// BackendStatus is what a model server does.
type BackendStatus string

// The states of a model server, from the one that an operator wants to know first.
const (
	BackendDraining    BackendStatus = "draining" // it gets nothing new, and requests are in flight
	BackendDrained     BackendStatus = "drained"  // it gets nothing new, and nothing is in flight
	BackendUnreachable BackendStatus = "unreachable"
	BackendPaused      BackendStatus = "paused" // it gets no requests of some kinds, because it fails on them
	BackendReady       BackendStatus = "ready"
	BackendIdle        BackendStatus = "idle" // nothing was sent to it yet
)

// Drain is a server that an operator keeps free of new requests.
type Drain struct {
	Address string // as BackendState.Address
	Since   time.Time
	By      string // principal
}

// MergeBackends adds up what several processes say of the same servers. The result is sorted by address. A server can be used if one process
// can use it.
func MergeBackends(all ...[]BackendState) []BackendState {
	merged := map[string]*BackendState{}
	for _, states := range all {
		for _, s := range states {
			m := merged[s.Address]
			if m == nil {
				s.Models = slices.Clone(s.Models)
				merged[s.Address] = &s
				continue
			}
			m.InFlight, m.Limit, m.LimitFrom = m.InFlight+s.InFlight, max(m.Limit, s.Limit), cmp.Or(m.LimitFrom, s.LimitFrom)
			m.Running, m.Waiting = max(m.Running, s.Running), max(m.Waiting, s.Waiting)
			m.Standby = m.Standby && s.Standby
			m.Models = append(m.Models, s.Models...)
			if m.State == BackendIdle || s.State == BackendReady || s.State == BackendPaused && m.State == BackendUnreachable {
				m.State, m.Why = s.State, s.Why
			}
		}
	}
	out := make([]BackendState, 0, len(merged))
	for _, m := range merged {
		slices.Sort(m.Models)
		m.Models = slices.Compact(m.Models)
		out = append(out, *m)
	}
	slices.SortFunc(out, func(a, b BackendState) int { return strings.Compare(a.Address, b.Address) })
	return out
}

// Drained sets the states of the drained servers, and returns the states.
func Drained(states []BackendState, drains []Drain) []BackendState {
	for i := range states {
		s := &states[i]
		if !slices.ContainsFunc(drains, func(d Drain) bool { return d.Address == s.Address }) {
			continue
		}
		if s.State, s.Why = BackendDrained, ""; s.InFlight > 0 {
			s.State = BackendDraining
		}
	}
	return states
}
