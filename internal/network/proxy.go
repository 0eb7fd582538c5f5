package network

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/proxy"
)

// through connects to an address through the subnet's proxy. The proxy gets the checked address and not
// the name, so it cannot resolve the name to another one. TLS to the destination is made within the
// connection, with the name.
func (w *way) through(ctx context.Context, address string) (net.Conn, error) {
	at := net.JoinHostPort(w.Proxy.Hostname(), cmp.Or(w.Proxy.Port(), ports[w.Proxy.Scheme]))
	if w.Proxy.Scheme == "socks5" {
		return w.socks(ctx, at, address)
	}
	conn, err := w.toProxy(ctx, at)
	if err != nil {
		return nil, err
	}
	if w.Proxy.Scheme == "https" {
		secured := tls.Client(conn, &tls.Config{ServerName: w.Proxy.Hostname()})
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, w.atProxy(at, errors.Join(fmt.Errorf("TLS failed: %w", err), conn.Close()))
		}
		conn = secured
	}
	tunnel, err := connectHTTP(ctx, conn, address, w.Proxy.User)
	if err != nil {
		return nil, w.atProxy(at, errors.Join(err, conn.Close()))
	}
	return tunnel, nil
}

// toProxy connects to the proxy.
func (w *way) toProxy(ctx context.Context, at string) (net.Conn, error) {
	conn, err := w.direct(ctx, at)
	if err == nil {
		return conn, nil
	}
	if e := w.explain(err); errors.As(e, new(*wayError)) {
		return nil, e
	}
	return nil, w.atProxy(at, err)
}

// atProxy names the proxy, without user and password.
func (w *way) atProxy(at string, err error) error {
	return &wayError{w.ID, fmt.Errorf("the proxy %s does not let the connection through (%w)", at, err)}
}

// connectHTTP asks an HTTP proxy for a tunnel to an address (RFC 9110, section 9.3.6).
func connectHTTP(ctx context.Context, conn net.Conn, address string, user *url.Userinfo) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if user != nil {
		password, _ := user.Password()
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	err := req.Write(conn)
	r := bufio.NewReader(conn)
	var resp *http.Response
	if err == nil {
		resp, err = http.ReadResponse(r, req)
	}
	switch {
	case !stop(): // ctx has ended, and the connection has a deadline in the past
		return nil, context.Cause(ctx)
	case err != nil: // its text may quote the proxy
		return nil, errors.New("it does not answer as an HTTP proxy")
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers CONNECT with status %d", resp.StatusCode)
	}
	if r.Buffered() > 0 { // the destination spoke first
		return &buffered{conn, r}, nil
	}
	return conn, nil
}

// buffered is a connection of which some bytes were read already.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

// Read implements io.Reader.
func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// socks connects through a SOCKS5 proxy (RFC 1928).
func (w *way) socks(ctx context.Context, at, address string) (net.Conn, error) {
	var auth *proxy.Auth
	if u := w.Proxy.User; u != nil {
		auth = &proxy.Auth{User: u.Username()}
		auth.Password, _ = u.Password()
	}
	d, err := proxy.SOCKS5("tcp", at, auth, forward{w})
	if err != nil {
		return nil, w.atProxy(at, err)
	}
	conn, err := d.(proxy.ContextDialer).DialContext(ctx, "tcp", address)
	if err != nil && !errors.As(err, new(*wayError)) {
		err = w.atProxy(at, err)
	}
	return conn, err
}

// forward is how the SOCKS5 client reaches the proxy.
type forward struct{ w *way }

// Dial implements proxy.Dialer.
func (f forward) Dial(_, at string) (net.Conn, error) { return f.w.toProxy(context.Background(), at) }

// DialContext implements proxy.ContextDialer.
func (f forward) DialContext(ctx context.Context, _, at string) (net.Conn, error) {
	return f.w.toProxy(ctx, at)
}
