package engine

import (
	"net/http"
	"net/url"
	"sync"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/catalog"
	"github.com/batholith/batholith/internal/dispatch"
	"github.com/batholith/batholith/internal/network"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/upstream"
)

// Networks are what a job's vpcConfig may name, and what the job must reach through it. The embedded S3 and the embedded models are inside
// the process: nothing leaves it, so no rule is asked about them.
type Networks struct {
	*network.Networks
	Models *Models
	S3     *url.URL // of the external S3; nil: the embedded one, or Amazon's
}

// Refuses implements control.Network. Hosts with names are not judged, because their addresses may change.
func (n Networks) Refuses(vpc batholith.VPC, model string) string {
	of, err := n.Consider(vpc.SubnetIDs, vpc.SecurityGroupIDs)
	if err != nil {
		return err.Error()
	}
	if n.S3 != nil {
		if r := of.Refuses(n.S3); r != nil {
			return "the S3 cannot be reached: " + r.Error()
		}
	}
	s, ok := n.Models.Serving(model)
	if !ok {
		return ""
	}
	var refused *network.Refusal
	for _, b := range s.Backends {
		u, ok := b.(*upstream.Backend)
		if !ok {
			return ""
		}
		r := u.Refused(of)
		if r == nil {
			return ""
		}
		if refused == nil {
			refused = r
		}
	}
	return "no model server can be reached: " + refused.Error()
}

// of returns the network of a job; nil for a job without vpcConfig.
func (n Networks) of(j batholith.Job) (*network.Network, error) {
	if j.VPC == nil || n.Networks == nil {
		return nil, nil
	}
	return n.Of(j.VPC.SubnetIDs, j.VPC.SecurityGroupIDs)
}

// routes are the clients of the S3 by network. The zero value is ready.
type routes struct {
	mu      sync.Mutex
	http    map[string]*http.Client // by Network.Key; at most mostRoutes
	clients map[route]*object.Client
}

// mostRoutes bounds the networks whose clients are kept. Callers can name any number.
const mostRoutes = 256

// route is a role with its keys, and a network.
type route struct {
	role *object.Standing // one for each role
	over string           // Network.Key
}

// over returns how a role reaches the S3 through a network. A role whose keys are assumed asks its token service through it, too.
func (r *routes) over(as access, n *network.Network) (access, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.http == nil {
		r.http, r.clients = map[string]*http.Client{}, map[route]*object.Client{}
	}
	client := r.http[n.Key()]
	if client == nil {
		r.forget()
		var err error
		if client, err = object.Over(as.base.HTTPClient, n); err != nil {
			return as, err
		}
		r.http[n.Key()] = client
	}
	as.base.HTTPClient = client
	if as.assume != nil {
		return as, nil
	}
	at := route{as.standing, n.Key()}
	if as.client = r.clients[at]; as.client == nil {
		c, err := object.New(as.base)
		if err != nil {
			return as, err
		}
		as.client, r.clients[at] = c, c
	}
	return as, nil
}

// forget drops all clients if there are mostRoutes of them. Jobs that use one keep it; the others are made again.
// The caller holds r.mu.
func (r *routes) forget() {
	if len(r.http) < mostRoutes {
		return
	}
	for _, c := range r.http {
		c.CloseIdleConnections()
	}
	clear(r.http)
	clear(r.clients)
}

// backends returns the backends of a job's model as the job's network reaches them, and the key of that network. The key is "" for a job
// without vpcConfig, and for a model that is inside the process.
func (n Networks) backends(j batholith.Job, all []catalog.Backend) (over []dispatch.Backend, key string, err error) {
	through, err := n.of(j)
	if err != nil {
		return nil, "", err
	}
	for _, b := range all {
		if u, ok := b.(*upstream.Backend); ok && through != nil {
			routed := u.Over(through)
			if routed != u {
				key = through.Key()
			}
			b = routed
		}
		over = append(over, b)
	}
	return over, key, nil
}
