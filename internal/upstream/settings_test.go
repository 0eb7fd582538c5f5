package upstream

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

// heard is a server that keeps its requests, and answers each with its status.
type heard struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	said   string
	all    []*http.Request
	bodies []string
}

func hearing(t *testing.T) *heard {
	h := &heard{status: 200, said: `{"choices":[]}`}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.all, h.bodies = append(h.all, r), append(h.bodies, string(body))
		w.WriteHeader(h.status)
		io.WriteString(w, h.said)
	}))
	t.Cleanup(h.Close)
	return h
}

// last returns the latest request.
func (h *heard) last() (*http.Request, string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.all) - 1
	return h.all[n], h.bodies[n]
}

func called(t *testing.T, o Options, path string) error {
	t.Helper()
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Do(t.Context(), batholith.Call{Path: path, Body: []byte(`{"model":"m","temperature":1}`)})
	return err
}

// Each request goes to the path, with the headers, the key and the members that the backend's options name.
func TestARequestHasWhatItsBackendAdds(t *testing.T) {
	h := hearing(t)
	azure := Options{URL: h.URL + "/openai/deployments/gpt?api-version=2024-10-21", Model: "m", APIKey: "k", APIKeyHeader: "api-key"}
	if err := called(t, azure, "/chat/completions"); err != nil {
		t.Fatal(err)
	}
	if r, _ := h.last(); r.URL.RequestURI() != "/openai/deployments/gpt/chat/completions?api-version=2024-10-21" || r.Header.Get("Api-Key") != "k" || r.Header.Get("Authorization") != "" {
		t.Errorf("Azure got %s with %v", r.URL, r.Header)
	}
	paths := Options{URL: h.URL + "/openai/", Model: "a b", Paths: Paths{Chat: "/deployments/{model}/chat/completions?api-version=1", Embeddings: "/v2/embed", Models: "/catalog"},
		Headers: []Header{{Name: "X-Team", Value: "batch"}, {Name: "x-token", Value: "s3cr3t", Secret: true}}, ExtraBody: `{"temperature":null,"chat_template_kwargs":{"enable_thinking":false}}`}
	for path, want := range map[string]string{"/chat/completions": "/openai/deployments/a%20b/chat/completions?api-version=1", "/embeddings": "/openai/v2/embed", "/completions": "/openai/completions"} {
		if err := called(t, paths, path); err != nil {
			t.Fatal(err)
		}
		r, body := h.last()
		if r.URL.RequestURI() != want || r.Header.Get("X-Team") != "batch" || r.Header.Get("X-Token") != "s3cr3t" || body != `{"model":"m","chat_template_kwargs":{"enable_thinking":false}}` {
			t.Errorf("%s: got %s with %v: %s", path, r.URL.RequestURI(), r.Header, body)
		}
	}
	b, err := New(paths)
	if err != nil {
		t.Fatal(err)
	}
	_ = b.Probe(t.Context())
	if r, _ := h.last(); r.URL.Path != "/openai/catalog" || r.Header.Get("X-Token") != "s3cr3t" {
		t.Errorf("the list of models is asked for at %s with %v", r.URL, r.Header)
	}
	b.Gauges(t.Context())
	if r, _ := h.last(); r.Header.Get("X-Token") != "s3cr3t" {
		t.Errorf("the gauges are asked for with %v", r.Header)
	}
	h.status, h.said = 400, `{"error":"no s3cr3t here"}`
	if f, ok := errors.AsType[*batholith.Failure](called(t, paths, "/embeddings")); !ok || strings.Contains(f.Message, "s3cr3t") {
		t.Errorf("a secret header is told: %v", f)
	}
	if other, _ := New(Options{URL: h.URL + "/openai/", Model: "a b"}); other.Key() == b.Key() || strings.Contains(b.Key(), "s3cr3t") {
		t.Error("backends with other headers have one key, or it shows a secret")
	}
}

// A key in a file is read again when the file changes, and a file that cannot be read keeps the key of before.
func TestAKeyInAFileIsReadAgain(t *testing.T) {
	h := hearing(t)
	path := filepath.Join(t.TempDir(), "key")
	write := func(text string, age time.Duration) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n", 0)
	b, err := New(Options{URL: h.URL, APIKeyFile: path, Headers: []Header{{Name: "X-Also", File: path}}})
	if err != nil {
		t.Fatal(err)
	}
	sends := func(want string) {
		t.Helper()
		for _, c := range []*credential{b.key, b.headers[0].value} {
			c.read = c.read.Add(-rereadAfter) // a second passes
		}
		if _, err := b.Do(t.Context(), batholith.Call{Path: "/chat/completions", Body: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
		if r, _ := h.last(); r.Header.Get("Authorization") != "Bearer "+want || r.Header.Get("X-Also") != want {
			t.Errorf("got %v, want %s", r.Header, want)
		}
	}
	sends("first")
	write("second\n", time.Minute)
	sends("second")
	write("thi", 0) // it is still being written
	sends("second")
	write("third", 0)
	sends("second")
	sends("third") // two reads have found it
	write("", time.Minute)
	sends("third")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	sends("third")
	if _, err := New(Options{URL: h.URL, APIKeyFile: path}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that is missing at the start: %v", err)
	}
}

// A proxy is used where it is set, and none where it is off.
func TestABackendGoesThroughItsProxy(t *testing.T) {
	proxy := hearing(t)
	if err := called(t, Options{URL: "http://model.invalid/v1", Proxy: proxy.URL}, "/chat/completions"); err != nil {
		t.Fatal(err)
	}
	if r, _ := proxy.last(); r.RequestURI != "http://model.invalid/v1/chat/completions" {
		t.Errorf("the proxy was asked for %s", r.RequestURI)
	}
	for setting, set := range map[string]bool{"": true, ProxyOff: false, proxy.URL: true} {
		transport, err := Options{Proxy: setting}.transport()
		if err != nil || (transport.Proxy != nil) != set {
			t.Errorf("%q: %v", setting, err)
		}
	}
}

// deaf returns the address of a server that closes each connection.
func deaf(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

// replying returns the address of a server that answers the first request of each connection with these bytes, and closes it.
func replying(t *testing.T, answer string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(c, answer)
			}
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

// A fault of the proxy is told as the proxy's: the model server may be running, and its address may be right. No message has the proxy's password.
func TestAFaultOfAProxyNamesTheProxy(t *testing.T) {
	answers := func(status int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	away := strings.TrimPrefix(gone.URL, "http://")
	for name, c := range map[string]struct{ url, proxy, cause, remedy string }{
		"away":            {"http://model.invalid/v1", "http://" + away, "no connection to its proxy " + away + " (connection refused)", "backend's proxy"},
		"away, https":     {"https://model.invalid/v1", "http://" + away, "no connection to its proxy " + away, "backend's proxy"},
		"away, SOCKS":     {"http://model.invalid/v1", "socks5://" + away, "no connection to its proxy " + away, "backend's proxy"},
		"no SOCKS":        {"http://model.invalid/v1", "socks5://" + deaf(t), "its SOCKS proxy", "backend's proxy"},
		"login, tunnel":   {"https://model.invalid/v1", "http://" + answers(407), "its proxy", "the user and the password"},
		"login":           {"http://model.invalid/v1", "http://" + answers(407), "answered 407", "the user and the password"},
		"closes, tunnel":  {"https://model.invalid/v1", "http://" + deaf(t), "cannot be reached through its proxy", "backend's proxy"},
		"no HTTP, tunnel": {"https://model.invalid/v1", "http://" + replying(t, "220 mail ready\r\n"), "cannot be reached through its proxy", "backend's proxy"},
		"no TLS, tunnel":  {"https://model.invalid/v1", "http://" + replying(t, "HTTP/1.1 200 OK\r\n\r\n"), "cannot be reached through its proxy", "backend's proxy"},
		"closes":          {"http://model.invalid/v1", "http://" + replying(t, ""), "closed the connection", "of its proxy"},
		"no HTTP":         {"http://model.invalid/v1", "http://" + replying(t, "220 mail ready\r\n"), "not valid HTTP", "and its proxy"},
		"a page":          {"http://model.invalid/v1", "http://" + replying(t, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 6\r\n\r\n<html>"), "may be that of its proxy", ""},
		"refuses, tunnel": {"https://model.invalid/v1", "http://" + answers(403), "answered 403", "allow the proxy"},
	} {
		scheme, host, _ := strings.Cut(c.proxy, "://")
		err := called(t, Options{URL: c.url, Proxy: scheme + "://user:hidden@" + host}, "/chat/completions")
		f, ok := errors.AsType[*batholith.Failure](err)
		if !ok || !strings.Contains(f.Public, c.cause) || !strings.Contains(f.Remedy, c.remedy) || strings.Contains(f.Public+f.Message, "hidden") {
			t.Errorf("%s: %v, remedy %q", name, err, f.Remedy)
		}
	}
}
