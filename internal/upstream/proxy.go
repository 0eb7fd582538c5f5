package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/batholith/batholith"
)

// proxyRefusal is the answer of a proxy that refuses CONNECT (RFC 9110, section 9.3.6).
type proxyRefusal struct{ status int }

// Error implements error. It leaves out the status text, which the proxy chooses.
func (e *proxyRefusal) Error() string { return fmt.Sprintf("the proxy answered %d", e.status) }

// tunnelled is the OnProxyConnectResponse of an [http.Transport]. It turns a refusal into an error with its status.
func tunnelled(_ context.Context, _ *url.URL, _ *http.Request, r *http.Response) error {
	if r.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyRefusal{r.StatusCode}
}

// Remedies for faults of a proxy. The backend or the environment names the proxy.
const (
	checkProxy      = "check the backend's proxy, or HTTPS_PROXY, HTTP_PROXY and NO_PROXY in the environment"
	checkProxyLogin = "check the user and the password in the URL of the proxy"
)

// atProxy returns a failure that names the proxy if the proxy caused the error, and nil otherwise. The model server itself may be running.
func (b *Backend) atProxy(err error) *batholith.Failure {
	if r, ok := errors.AsType[*proxyRefusal](err); ok {
		remedy := "allow the proxy to connect to the model server, or set proxy: off for the backend"
		if r.status == http.StatusProxyAuthRequired {
			remedy = checkProxyLogin
		}
		return failure(batholith.FailureUnreachable, remedy, "%s cannot be reached: its proxy%s answered %d", b.host, b.proxyHost(), r.status)
	}
	e, ok := errors.AsType[*net.OpError](err)
	switch {
	case !ok:
		return nil
	case e.Op == "proxyconnect": // net/http: no connection to the proxy
		return failure(batholith.FailureUnreachable, checkProxy, "%s cannot be reached: there is no connection to its proxy%s (%s)", b.host, b.proxyHost(), proxyReason(e.Err))
	case e.Op == "socks connect": // net/http: the proxy does not connect to the server
		return failure(batholith.FailureUnreachable, checkProxy, "%s cannot be reached: its SOCKS proxy%s refuses the connection", b.host, b.proxyHost())
	}
	return nil
}

// proxied reports whether the requests go through a proxy, which may be that of the environment.
func (b *Backend) proxied() bool {
	t, ok := b.o.Transport.(*http.Transport)
	if !ok || t.Proxy == nil {
		return false
	}
	u, err := t.Proxy(&http.Request{URL: b.base})
	return err == nil && u != nil
}

// proxyHost is host and port of the backend's own proxy, after a space; "" if the environment sets the proxy.
func (b *Backend) proxyHost() string {
	if u, err := url.Parse(b.o.Proxy); err == nil && u.Host != "" {
		return " " + u.Host
	}
	return ""
}

// proxyReason returns why there is no connection to a proxy, without a word of the proxy's.
func proxyReason(err error) string {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return dnsReason(e)
	}
	if isTLS(err) {
		cause, _ := tlsReason(err)
		return cause
	}
	return dialReason(err)
}
