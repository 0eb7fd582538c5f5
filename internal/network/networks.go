package network

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Group is a security group. A group without rules allows nothing.
type Group struct {
	ID     string
	Egress []Rule
}

// Networks holds the subnets and security groups that are configured. It is safe for concurrent use.
type Networks struct {
	set      atomic.Pointer[set]
	resolver resolver

	mu    sync.Mutex
	known map[string]*Network // by key; at most mostKnown
}

// set is what is configured now. It is replaced as a whole.
type set struct {
	subnets map[string]*Subnet
	groups  map[string]Group
}

// mostKnown bounds the networks that are remembered. Subnets in another order are another network, so callers could
// name any number. A network that was forgotten is made again.
const mostKnown = 256

// New returns the configured networks. Ids are unique; [config] has checked that.
func New(subnets []Subnet, groups []Group) *Networks {
	n := &Networks{resolver: net.DefaultResolver, known: map[string]*Network{}}
	to := &set{subnets: map[string]*Subnet{}, groups: map[string]Group{}}
	for _, s := range subnets {
		to.subnets[s.ID] = &s
	}
	for _, g := range groups {
		to.groups[g.ID] = g
	}
	n.set.Store(to)
	return n
}

// Replace takes the subnets and security groups of other from now on. A network that was made before keeps its own.
func (n *Networks) Replace(other *Networks) { n.set.Store(other.set.Load()) }

// Subnet reports whether there is a subnet with this id.
func (n *Networks) Subnet(id string) bool { return n.set.Load().subnets[id] != nil }

// SecurityGroup reports whether there is a security group with this id.
func (n *Networks) SecurityGroup(id string) bool { _, ok := n.set.Load().groups[id]; return ok }

// Of returns the network of a vpcConfig: the union of the groups' rules, and the subnets in the given
// order. Equal ids give the same *Network while it is remembered, and always the same key. An unknown id is an error.
func (n *Networks) Of(subnets, groups []string) (*Network, error) {
	made, err := n.Consider(subnets, groups)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if known := n.known[made.key]; known != nil {
		return known, nil
	}
	if len(n.known) >= mostKnown {
		clear(n.known)
	}
	n.known[made.key] = made
	return made, nil
}

// Consider is Of for a vpcConfig that no job has yet: the network is not remembered.
func (n *Networks) Consider(subnets, groups []string) (*Network, error) {
	groups = slices.Compact(slices.Sorted(slices.Values(groups)))
	now := n.set.Load()
	made := &Network{groups: groups, resolver: n.resolver}
	said := sha256.New()
	for _, id := range subnets {
		s := now.subnets[id]
		if s == nil {
			return nil, fmt.Errorf("subnet %s is not configured here any more", id)
		}
		if !slices.ContainsFunc(made.ways, func(w *way) bool { return w.Subnet == s }) {
			made.ways = append(made.ways, &way{Subnet: s})
		}
		fmt.Fprintf(said, "%+v\n", *s)
	}
	for _, id := range groups {
		g, ok := now.groups[id]
		if !ok {
			return nil, fmt.Errorf("security group %s is not configured here any more", id)
		}
		made.rules = append(made.rules, g.Egress...)
		fmt.Fprintf(said, "%v\n", g.Egress)
	}
	made.key = fmt.Sprintf("%s;%s;%x", strings.Join(subnets, ","), strings.Join(groups, ","), said.Sum(nil)[:8]) // ids hold neither character
	return made, nil
}

// Network is what one vpcConfig names: a way out for each of its subnets, and the rules of its groups. It
// is safe for concurrent use.
type Network struct {
	key      string
	groups   []string // ids, sorted
	rules    []Rule
	ways     []*way // in the order of the vpcConfig
	resolver resolver
}

// Key is equal for networks with the same subnets and security groups, as they were configured when the network was made.
func (n *Network) Key() string { return n.key }

// Permits reports whether a rule allows connections to an address and port.
func (n *Network) Permits(to netip.AddrPort) bool {
	if to.Addr().Unmap().WithZone("").IsUnspecified() { // 0.0.0.0 and :: connect to this machine
		return false
	}
	return slices.ContainsFunc(n.rules, func(r Rule) bool { return r.Permits(to) })
}

// Refuses returns the refusal of a URL whose host is an address that no rule allows. It returns nil if a
// rule allows it, or if the host is a name, whose addresses are not known before it is resolved.
func (n *Network) Refuses(u *url.URL) *Refusal {
	a, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return nil
	}
	port, ok := parsePort(u.Port())
	if !ok {
		port = map[string]uint16{"http": 80, "https": 443}[u.Scheme]
	}
	to := netip.AddrPortFrom(a, port)
	if n.Permits(to) {
		return nil
	}
	return &Refusal{Groups: n.groups, To: []netip.AddrPort{to}}
}

// Refusal says that no rule of a job's security groups allows a connection.
type Refusal struct {
	Groups []string
	Host   string           // the name that was resolved; "" if the address was given
	To     []netip.AddrPort // the addresses that were refused, all with the same port
}

// Reason names the groups and the address.
func (r *Refusal) Reason() string {
	to := r.To[0].String()
	if r.Host != "" {
		to += " (" + r.Host + ")"
	}
	if len(r.Groups) == 1 {
		return fmt.Sprintf("security group %s has no egress rule for %s", r.Groups[0], to)
	}
	return fmt.Sprintf("none of the security groups %s has an egress rule for %s", strings.Join(r.Groups, ", "), to)
}

// Remedy names the rule that is missing.
func (r *Refusal) Remedy() string {
	return fmt.Sprintf("add '%s' to the egress of %s in network.security_groups, or name another security group in vpcConfig", alone(r.To[0]), r.Groups[0])
}

// Error returns reason and remedy.
func (r *Refusal) Error() string { return r.Reason() + "; " + r.Remedy() }
