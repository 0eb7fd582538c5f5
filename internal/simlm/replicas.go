package simlm

import (
	"net/http"
	"sync/atomic"
)

// Replicas are servers behind one address. Each request goes to the next one in turn, independent of its connection. So metrics come from
// one replica, as behind a load balancer that does not combine them.
type Replicas struct {
	servers []*Server
	turn    atomic.Uint64
}

// NewReplicas makes n servers with the same options. If sick is not "", every request to the first one has this fault.
func NewReplicas(o Options, n int, sick FaultKind) *Replicas {
	r := &Replicas{}
	for i := range n {
		own := o
		if i == 0 && sick != "" {
			own.Faults = append([]Fault{{Kind: sick, Share: 1, Random: true}}, o.Faults...)
		}
		r.servers = append(r.servers, New(own))
	}
	return r
}

// Servers are the replicas, the sick one first.
func (r *Replicas) Servers() []*Server { return r.servers }

// ServeHTTP implements [http.Handler].
func (r *Replicas) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.servers[(r.turn.Add(1)-1)%uint64(len(r.servers))].ServeHTTP(w, req)
}
