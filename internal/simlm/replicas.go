package simlm

import (
	"net/http"
	"sync/atomic"
)

// Replicas are servers behind one address. Requests take turns over them, whichever connection they come on. The gauges are those of the
// replica that happens to be asked, as behind a balancer that knows nothing of them.
type Replicas struct {
	servers []*Server
	turn    atomic.Uint64
}

// NewReplicas makes n servers with the same options. All requests to the first one meet the fault when sick has a kind.
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
