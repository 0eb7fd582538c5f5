package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// resolver is the part of [net.Resolver] that is used.
type resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

const (
	// dialTime is the timeout of one connection through one subnet.
	dialTime = 10 * time.Second
	// avoided is how long a subnet is tried last, after it failed and another one connected.
	avoided = 30 * time.Second
)

// way is one of a Network's subnets, with the time of its last failure.
type way struct {
	*Subnet
	failed atomic.Int64 // time of the last failure after which another subnet connected, in Unix nanoseconds; 0: none
}

// Transport returns a copy of base that connects through the network. It ignores the proxies of the environment. Connections of two networks are never shared, because each has a transport of its own.
func (n *Network) Transport(base *http.Transport) *http.Transport {
	t := base.Clone()
	t.Proxy, t.DialContext, t.DialTLSContext = nil, n.DialContext, nil
	return t
}

// DialContext connects to host:port. It resolves a host name first, and connects only to addresses that a
// rule allows. If no connection can be made through the first subnet, it uses the next one. If the rules
// allow none of the addresses, the error is a [*Refusal].
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	to, err := n.resolve(ctx, network, address)
	if err != nil {
		return nil, err
	}
	var failed []*way
	var faults []error
	for _, w := range n.order(time.Now()) {
		conn, err := w.connect(ctx, to)
		if err == nil {
			for _, f := range failed {
				f.failed.Store(time.Now().UnixNano())
			}
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		failed, faults = append(failed, w), append(faults, err)
	}
	return nil, errors.Join(faults...)
}

// order returns the ways in the order of the job. Ways that failed within the last avoided come last.
func (n *Network) order(now time.Time) []*way {
	bad := func(w *way) int {
		if f := w.failed.Load(); f != 0 && now.Sub(time.Unix(0, f)) < avoided {
			return 1
		}
		return 0
	}
	if len(n.ways) < 2 {
		return n.ways
	}
	return slices.SortedStableFunc(slices.Values(n.ways), func(a, b *way) int { return bad(a) - bad(b) })
}

// resolve returns those addresses of a host that a rule allows: at least one, or an error.
func (n *Network) resolve(ctx context.Context, network, address string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, network, service)
	if err != nil {
		return nil, err
	}
	refused := &Refusal{Groups: n.groups}
	var found []netip.Addr
	if a, err := netip.ParseAddr(host); err == nil {
		found = []netip.Addr{a}
	} else {
		refused.Host = strings.TrimSuffix(host, ".")
		if found, err = n.resolver.LookupNetIP(ctx, "ip", host); err != nil {
			return nil, err
		}
	}
	var permitted []netip.AddrPort
	for _, a := range found {
		to := netip.AddrPortFrom(a.Unmap(), uint16(port))
		if n.Permits(to) {
			permitted = append(permitted, to)
		} else {
			refused.To = append(refused.To, to)
		}
	}
	switch {
	case len(permitted) > 0:
		return permitted, nil
	case len(refused.To) == 0:
		return nil, &net.DNSError{Err: "the answer has no address", Name: host, IsNotFound: true}
	}
	return nil, refused
}

// connect connects to the first of the addresses that answers.
func (w *way) connect(ctx context.Context, to []netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	var faults []error
	for _, a := range to {
		if w.Source.IsValid() && w.Proxy == nil && w.Source.Is4() != a.Addr().Is4() {
			faults = append(faults, &wayError{w.ID, fmt.Errorf("its source address %s cannot reach %s, an address of the other IP version", w.Source, a.Addr())})
			continue
		}
		conn, err := w.reach(ctx, a.String())
		if err == nil {
			return conn, nil
		}
		faults = append(faults, w.explain(err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(faults...)
}

// reach connects to a checked address, through the proxy if there is one.
func (w *way) reach(ctx context.Context, address string) (net.Conn, error) {
	if w.Proxy != nil {
		return w.through(ctx, address)
	}
	return w.direct(ctx, address)
}

// direct connects from the subnet's source address and interface.
func (w *way) direct(ctx context.Context, address string) (net.Conn, error) {
	d := net.Dialer{KeepAlive: 30 * time.Second}
	if w.Source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(w.Source, 0))
	}
	if w.Interface != "" {
		d.Control = func(_, _ string, c syscall.RawConn) error { return bindToDevice(c, w.Interface) }
	}
	return d.DialContext(ctx, "tcp", address)
}

// wayError is an error in a subnet's settings, or a fault of its proxy. The destination did not cause it.
type wayError struct {
	subnet string
	err    error
}

// Error names the subnet and the cause.
func (e *wayError) Error() string { return "subnet " + e.subnet + ": " + e.err.Error() }

// Unwrap returns the cause.
func (e *wayError) Unwrap() error { return e.err }

// Cause returns the reason if the rules or a subnet prevented a connection. The text is Batholith's own: it
// contains no bytes that the destination sent.
func Cause(err error) (string, bool) {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.Reason(), true
	}
	if w, ok := errors.AsType[*wayError](err); ok {
		return w.Error(), true
	}
	return "", false
}

// explain names the subnet in errors that its settings cause.
func (w *way) explain(err error) error {
	switch {
	case errors.As(err, new(*wayError)):
		return err
	case errors.Is(err, syscall.EADDRNOTAVAIL) && w.Source.IsValid():
		return &wayError{w.ID, fmt.Errorf("this machine does not have the source address %s: %w", w.Source, syscall.EADDRNOTAVAIL)}
	case errors.Is(err, syscall.ENODEV):
		return &wayError{w.ID, fmt.Errorf("this machine does not have the interface %s: %w", w.Interface, syscall.ENODEV)}
	case errors.Is(err, syscall.EPERM) && w.Interface != "":
		return &wayError{w.ID, fmt.Errorf("the process may not bind to the interface %s (it needs Linux 5.7 or CAP_NET_RAW): %w", w.Interface, syscall.EPERM)}
	}
	return err
}
