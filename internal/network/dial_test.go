package network

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// names is a resolver with fixed answers.
type names map[string][]string

func (n names) LookupNetIP(_ context.Context, _, host string) (found []netip.Addr, err error) {
	for _, a := range n[host] {
		found = append(found, netip.MustParseAddr(a))
	}
	if len(found) == 0 {
		err = &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return found, err
}

// witness is a server that keeps the addresses of its clients.
type witness struct {
	*httptest.Server
	mu   sync.Mutex
	from []string // hosts
}

func newWitness(t *testing.T) *witness {
	t.Helper()
	w := &witness{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.from = append(w.from, host)
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(rw, r, to, http.StatusTemporaryRedirect)
		}
	}))
	t.Cleanup(w.Close)
	return w
}

// seen returns the clients' hosts since the last call.
func (w *witness) seen() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := strings.Join(w.from, " ")
	w.from = nil
	return seen
}

func (w *witness) port() string {
	_, port, _ := net.SplitHostPort(w.Listener.Addr().String())
	return port
}

func rules(t *testing.T, texts ...string) (all []Rule) {
	t.Helper()
	for _, text := range texts {
		r, err := ParseRule(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func open(t *testing.T, n *Networks, subnets, groups []string) (*Network, *http.Client) {
	t.Helper()
	network, err := n.Of(subnets, groups)
	if err != nil {
		t.Fatal(err)
	}
	transport := network.Transport(http.DefaultTransport.(*http.Transport))
	t.Cleanup(transport.CloseIdleConnections)
	return network, &http.Client{Transport: transport}
}

func get(c *http.Client, url string) error {
	resp, err := c.Get(url)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

// 127.0.0.2 and 127.0.0.3 are addresses of every Linux machine's loopback interface. Other systems have 127.0.0.1 only.
func TestConnectionsLeaveFromTheirSubnetsAddress(t *testing.T) {
	to := newWitness(t)
	n := New([]Subnet{{ID: "two", Source: netip.MustParseAddr("127.0.0.2")}, {ID: "three", Source: netip.MustParseAddr("127.0.0.3")}, {ID: "absent", Source: netip.MustParseAddr("192.0.2.1")}},
		[]Group{{ID: "sg", Egress: rules(t, "127.0.0.0/8:*")}})
	for _, tt := range []struct {
		subnets []string
		want    string
	}{{[]string{"two"}, "127.0.0.2"}, {[]string{"three"}, "127.0.0.3"}, {[]string{"three", "two"}, "127.0.0.3"}, {[]string{"absent", "two"}, "127.0.0.2"}} {
		_, client := open(t, n, tt.subnets, []string{"sg"})
		for range 3 {
			if err := get(client, to.URL); err != nil {
				if runtime.GOOS != "linux" && strings.Contains(err.Error(), "assign requested address") {
					t.Skip("this machine has no 127.0.0.2:", err)
				}
				t.Fatal(tt.subnets, err)
			}
		}
		if got := to.seen(); got != strings.Join([]string{tt.want, tt.want, tt.want}, " ") {
			t.Errorf("%v: clients %s", tt.subnets, got)
		}
	}
	_, client := open(t, n, []string{"absent"}, []string{"sg"})
	if err := get(client, to.URL); err == nil || !strings.Contains(err.Error(), "subnet absent: this machine does not have the source address 192.0.2.1") {
		t.Error(err)
	}
}

func TestEveryConnectionObeysTheRules(t *testing.T) {
	allowed, forbidden := newWitness(t), newWitness(t)
	t.Setenv("HTTP_PROXY", forbidden.URL)
	n := New([]Subnet{{ID: "s"}}, []Group{{ID: "sg", Egress: rules(t, "127.0.0.1:"+allowed.port())}, {ID: "none"}})
	n.resolver = names{"good.test": {"127.0.0.1"}, "bad.test": {"127.0.0.2"}, "both.test": {"127.0.0.2", "127.0.0.1"}, "mapped.test": {"::ffff:127.0.0.2"}, "zero.test": {"0.0.0.0", "::"}}
	_, client := open(t, n, []string{"s"}, []string{"sg", "none"})
	for _, url := range []string{allowed.URL, "http://good.test:" + allowed.port(), "http://both.test:" + allowed.port()} {
		if err := get(client, url); err != nil {
			t.Error(url, err)
		}
	}
	if got := allowed.seen(); got != "127.0.0.1 127.0.0.1 127.0.0.1" {
		t.Error("the allowed server was asked by", got)
	}
	for url, want := range map[string]string{
		forbidden.URL:                                 "127.0.0.1:" + forbidden.port(),
		"http://good.test:" + forbidden.port():        "127.0.0.1:" + forbidden.port() + " (good.test)",
		"http://bad.test:" + allowed.port():           "127.0.0.2:" + allowed.port() + " (bad.test)",
		"http://mapped.test:" + allowed.port():        "127.0.0.2:" + allowed.port() + " (mapped.test)",
		"http://zero.test:" + allowed.port():          "0.0.0.0:" + allowed.port(),
		"http://0.0.0.0:" + allowed.port():            "0.0.0.0:" + allowed.port(),
		allowed.URL + "?to=" + forbidden.URL:          "127.0.0.1:" + forbidden.port(),
		allowed.URL + "?to=http://bad.test:" + "1":    "127.0.0.2:1 (bad.test)",
		"http://[::ffff:127.0.0.2]:" + allowed.port(): "127.0.0.2:" + allowed.port(),
		"http://[::1]:" + allowed.port():              "[::1]:" + allowed.port(),
	} {
		err := get(client, url)
		r, ok := errors.AsType[*Refusal](err)
		if !ok || !strings.Contains(r.Reason(), "none of the security groups none, sg has an egress rule for "+want) || !strings.Contains(r.Remedy(), alone(r.To[0]).String()) {
			t.Errorf("%s: %v", url, err)
		}
	}
	if got := forbidden.seen(); got != "" {
		t.Error("the forbidden server was asked by", got)
	}
	if err := get(client, "http://absent.test"); !errors.As(err, new(*net.DNSError)) {
		t.Error(err)
	}
}

func TestNetworksNeverShareAConnection(t *testing.T) {
	to := newWitness(t)
	n := New([]Subnet{{ID: "a"}, {ID: "b"}}, []Group{{ID: "open", Egress: rules(t, "127.0.0.0/8:*")}, {ID: "closed"}})
	one, client := open(t, n, []string{"a", "a"}, []string{"open"})
	same, _ := open(t, n, []string{"a", "a"}, []string{"open", "open"})
	other, _ := open(t, n, []string{"b", "a"}, []string{"open"})
	if one != same || one == other || one.Key() == other.Key() {
		t.Error("networks are mixed up:", one.Key(), same.Key(), other.Key())
	}
	if err := get(client, to.URL); err != nil { // leaves an idle connection
		t.Fatal(err)
	}
	_, client = open(t, n, []string{"a"}, []string{"closed"})
	if err := get(client, to.URL); !errors.As(err, new(*Refusal)) {
		t.Error("a connection of another network was used:", err)
	}
}

// proxied is an HTTP proxy that keeps what it is asked for, and makes tunnels.
func proxied(t *testing.T, asked *[]string) *url.URL {
	t.Helper()
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.Method+" "+r.Host+" "+r.Header.Get("Proxy-Authorization"))
		to, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		go tunnel(conn, to)
	}))
	t.Cleanup(p.Close)
	u, _ := url.Parse(p.URL)
	u.User = url.UserPassword("u", "hunter2")
	return u
}

func tunnel(a, b net.Conn) {
	go func() { _, _ = io.Copy(a, b); a.Close() }()
	_, _ = io.Copy(b, a)
	b.Close()
}

func TestAProxyGetsTheAddressThatWasChecked(t *testing.T) {
	to := newWitness(t)
	var asked []string
	n := New([]Subnet{{ID: "s", Proxy: proxied(t, &asked)}, {ID: "gone", Proxy: &url.URL{Scheme: "http", Host: "127.0.0.1:1", User: url.UserPassword("u", "hunter2")}}},
		[]Group{{ID: "sg", Egress: rules(t, "127.0.0.1:"+to.port(), "127.0.0.1:1")}})
	n.resolver = names{"good.test": {"127.0.0.1"}, "bad.test": {"127.0.0.2"}}
	_, client := open(t, n, []string{"s"}, []string{"sg"})
	if err := get(client, "http://good.test:"+to.port()); err != nil {
		t.Fatal(err)
	}
	if err := get(client, "http://bad.test:"+to.port()); !errors.As(err, new(*Refusal)) {
		t.Error(err)
	}
	if len(asked) != 1 || asked[0] != "CONNECT 127.0.0.1:"+to.port()+" Basic dTpodW50ZXIy" {
		t.Error("the proxy was asked for", asked)
	}
	err := get(client, "http://good.test:1")
	if cause, ok := Cause(err); !ok || !strings.Contains(cause, "subnet s: the proxy") || !strings.Contains(cause, "status 502") || strings.Contains(cause, "hunter2") {
		t.Error(cause, err)
	}
	_, client = open(t, n, []string{"gone"}, []string{"sg"})
	if cause, ok := Cause(get(client, to.URL)); !ok || !strings.Contains(cause, "subnet gone: the proxy 127.0.0.1:1") || strings.Contains(cause, "hunter2") {
		t.Error(cause)
	}
}

func TestASocksProxyGetsTheAddressThatWasChecked(t *testing.T) {
	to := newWitness(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	asked := make(chan []byte, 1)
	go func() { // RFC 1928: greeting, choice, request, reply
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		r := bufio.NewReader(conn)
		greeting := make([]byte, 3)
		_, _ = io.ReadFull(r, greeting)
		_, _ = conn.Write([]byte{5, 0})
		request := make([]byte, 10)
		_, _ = io.ReadFull(r, request)
		asked <- request
		out, err := net.Dial("tcp", to.Listener.Addr().String())
		if err != nil {
			return
		}
		_, _ = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		tunnel(conn, out)
	}()
	n := New([]Subnet{{ID: "s", Proxy: &url.URL{Scheme: "socks5", Host: ln.Addr().String()}}}, []Group{{ID: "sg", Egress: rules(t, "127.0.0.1:*")}})
	n.resolver = names{"good.test": {"127.0.0.1"}}
	_, client := open(t, n, []string{"s"}, []string{"sg"})
	if err := get(client, "http://good.test:"+to.port()); err != nil {
		t.Fatal(err)
	}
	if got := <-asked; string(got[:8]) != "\x05\x01\x00\x01\x7f\x00\x00\x01" {
		t.Errorf("the proxy was asked for %v, not for an address", got)
	}
}
