package network

import (
	"net/netip"
	"net/url"
	"runtime"
)

// Subnet says how connections leave this machine. Without any of source, interface and proxy they leave
// as those of the process itself do.
type Subnet struct {
	ID        string
	Source    netip.Addr // local address; the zero Addr: the system chooses
	Interface string     // name of the network interface (SO_BINDTODEVICE); "": the routing table decides
	Proxy     *url.URL   // http, https or socks5; nil: none. It is reached from Source and Interface.
}

// ParseSource reads the setting source_address. The error is a [*Fault].
func ParseSource(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.IsUnspecified() || a.IsMulticast() {
		return netip.Addr{}, fault("write an address of this machine, such as 10.0.1.5", "%q is not a valid source address", text)
	}
	return a.Unmap(), nil
}

// ParseInterface reads the setting interface. The error is a [*Fault].
func ParseInterface(text string) (string, error) {
	const longest = 15 // Linux: IFNAMSIZ - 1
	switch {
	case runtime.GOOS != "linux":
		return "", fault("use source_address", "traffic can be bound to an interface on Linux only")
	case len(text) > longest:
		return "", fault("list the interfaces with: ip link", "%q is not a valid name of a network interface: it is longer than %d bytes", text, longest)
	}
	return text, nil
}

// ports are the usual ports of proxies by scheme.
var ports = map[string]string{"http": "80", "https": "443", "socks5": "1080"}

// ParseProxy reads the setting proxy. The error is a [*Fault] and does not repeat the text, which may hold
// a password.
func ParseProxy(text string) (*url.URL, error) {
	const form = "write http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT, with USER:PASSWORD@ before HOST if the proxy wants them"
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fault(form, "this is not a valid URL of a proxy")
	}
	if ports[u.Scheme] == "" {
		return nil, fault(form, "a proxy cannot be reached by %q", u.Scheme)
	}
	return u, nil
}
