package upstream

import (
	"net/http"
	"net/url"
	"sync"

	"github.com/batholith/batholith/internal/network"
)

// networks are the copies of a backend that reach its server through a network each.
type networks struct {
	mu sync.Mutex
	of map[string]*Backend // by Network.Key; at most mostNetworks
}

// mostNetworks bounds the copies that are kept. Callers can name any number of networks.
const mostNetworks = 256

// Over returns the same server, reached through the network of a job. Its connections are not shared with
// those of b. A transport without connections, such as that of an embedded model, is used as it is: nothing
// leaves the process. So is a server that this process runs: nothing leaves the machine.
func (b *Backend) Over(n *network.Network) *Backend {
	t, ok := b.o.Transport.(*http.Transport)
	if !ok || b.o.Process != nil {
		return b
	}
	b.networks.mu.Lock()
	defer b.networks.mu.Unlock()
	if over := b.networks.of[n.Key()]; over != nil {
		return over
	}
	if len(b.networks.of) >= mostNetworks { // jobs that use one keep it; the others are made again
		for _, over := range b.networks.of {
			over.o.Transport.(*http.Transport).CloseIdleConnections()
		}
		clear(b.networks.of)
	}
	o := b.o
	o.Transport = n.Transport(t)
	over := b.with(o)
	over.network = n.Key()
	if b.networks.of == nil {
		b.networks.of = map[string]*Backend{}
	}
	b.networks.of[n.Key()] = over
	return over
}

// Refused returns the refusal if no rule of the network allows the address in the backend's URL. It returns
// nil if a rule does, or if the URL has the name of a host, which must be resolved first.
func (b *Backend) Refused(n *network.Network) *network.Refusal {
	if _, ok := b.o.Transport.(*http.Transport); !ok || b.o.Process != nil {
		return nil
	}
	return n.Refuses(&url.URL{Scheme: b.base.Scheme, Host: b.base.Host})
}
