package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

var call = batholith.Call{Path: "/chat/completions", Body: []byte(`{"model":"m"}`)}

func TestACallIsSentAsItIs(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != "POST" || r.URL.Path != "/v1/chat/completions" || string(body) != string(call.Body) {
			t.Errorf("got %s %s %s", r.Method, r.URL.Path, body)
		}
		if r.Header.Get("Authorization") != "Bearer sk" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("X-Request-Id") == "" {
			t.Errorf("headers %v", r.Header)
		}
		io.WriteString(w, `{"choices":[]}`)
	}))
	defer s.Close()
	b, err := New(Options{URL: s.URL + "/v1/", APIKey: "sk"})
	if err != nil {
		t.Fatal(err)
	}
	if body, err := b.Do(t.Context(), call); string(body) != `{"choices":[]}` || err != nil {
		t.Errorf("got %s, %v", body, err)
	}
}

// hijacked answers with raw bytes and closes the connection.
func hijacked(raw string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		io.WriteString(c, raw)
		c.Close()
	}
}

func TestABrokenAnswerIsTriedAgain(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"no answer":   hijacked(""),
		"torn header": hijacked("HTTP/1.1 200 OK\r\nContent-Le"),
		"torn body":   hijacked("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"choices\":"),
		"torn chunk":  hijacked("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{\"choi"),
		"not HTTP":    hijacked("+OK POP3 ready\r\n"),
		"encoded": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			w.Write([]byte{1, 2, 3})
		},
		"announced too long":  hijacked("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{"),
		"aborted by a panic":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"reset after a while": resetting,
	} {
		if f := failureOf(t, Options{}, h); f.Kind != retry || f.Message == "" {
			t.Errorf("%s: got %v, want a failure to retry", name, f)
		}
	}
}

// resetting closes with unread input, so that the kernel resets the connection.
func resetting(w http.ResponseWriter, _ *http.Request) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

func TestAnEndlessAnswerIsCutOff(t *testing.T) {
	block := []byte(strings.Repeat("x", 1<<20))
	sent := 0
	f := failureOf(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		for range 2 * maxAnswer >> 20 {
			if _, err := w.Write(block); err != nil {
				return
			}
			sent++
		}
	})
	if f.Kind != retry || !strings.Contains(f.Message, "longer than 64 MiB") {
		t.Errorf("got %v", f)
	}
}

func TestASlowBackendIsTriedAgainAfterItsTimeout(t *testing.T) {
	f := failureOf(t, Options{Timeout: 20 * time.Millisecond}, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	if f.Kind != retry || !strings.Contains(f.Message, "within 20ms") {
		t.Errorf("got %v", f)
	}
}

func TestABackendWithoutAConnectionIsUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().String()
	l.Close()
	tls := httptest.NewTLSServer(says(200, "{}"))
	defer tls.Close()
	plain := httptest.NewServer(says(200, "{}"))
	defer plain.Close()
	for url, text := range map[string]string{
		"http://" + free + "/v1":                            "is the model server running",
		"http://model.invalid/v1":                           "cannot be resolved",
		tls.URL + "/v1":                                     "certificate",
		strings.Replace(plain.URL, "http", "https", 1) + "": "write http:// in the backend's url",
	} {
		b, err := New(Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Do(t.Context(), call)
		f, ok := errors.AsType[*batholith.Failure](err)
		if !ok || f.Kind != batholith.FailureUnreachable || f.Sent || !strings.Contains(f.Message, text) {
			t.Errorf("%s: got %v, sent: %v, want it unreachable, with %q", url, err, f != nil && f.Sent, text)
		}
	}
}

func TestPromptsAndKeysDoNotFollowARedirectToAnotherHost(t *testing.T) {
	var asked atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked.Store(true) }))
	defer other.Close()
	f := failureOf(t, Options{APIKey: "sk"}, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	if f.Kind != misconfigured || asked.Load() {
		t.Errorf("got %v; the other host was asked: %v", f, asked.Load())
	}
}

func TestARedirectWithinTheHostKeepsTheBody(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/chat/completions" {
			http.Redirect(w, r, "/other", http.StatusPermanentRedirect)
			return
		}
		io.Copy(w, r.Body)
	}))
	defer s.Close()
	b, _ := New(Options{URL: s.URL + "/v1"})
	if body, err := b.Do(t.Context(), call); string(body) != string(call.Body) || err != nil {
		t.Errorf("got %s, %v", body, err)
	}
}

func TestTheCauseOfTheCallersContextIsReturnedAsItIs(t *testing.T) {
	began := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		close(began)
		<-r.Context().Done()
	}))
	defer s.Close()
	b, _ := New(Options{URL: s.URL + "/v1"})
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-began
		cancel(batholith.ErrExpired)
	}()
	if _, err := b.Do(ctx, call); err != batholith.ErrExpired {
		t.Errorf("got %v, want ErrExpired", err)
	}
}

// countsConnections starts a server that answers everything, and counts the connections that are opened to it.
func countsConnections(t *testing.T) (url string, opened *atomic.Int64) {
	t.Helper()
	opened = &atomic.Int64{}
	s := httptest.NewUnstartedServer(says(200, `{"choices":[]}`))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.URL, opened
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	url, opened := countsConnections(t)
	b, _ := New(Options{URL: url + "/v1", MaxInFlight: 8})
	for range 20 {
		done := make(chan error)
		for range 8 {
			go func() {
				_, err := b.Do(t.Context(), call)
				done <- err
			}()
		}
		for range 8 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := opened.Load(); n > 16 {
		t.Errorf("%d connections were opened for 8 in flight", n)
	}
}

// TestAFreshCallHasAConnectionOfItsOwn: a kept connection may be broken, and is one replica's.
func TestAFreshCallHasAConnectionOfItsOwn(t *testing.T) {
	url, opened := countsConnections(t)
	b, _ := New(Options{URL: url + "/v1"})
	fresh := call
	fresh.Fresh = true
	for _, c := range []batholith.Call{call, call, fresh, fresh, call} {
		if _, err := b.Do(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if n := opened.Load(); n != 3 {
		t.Errorf("%d connections for one that is kept and two fresh ones", n)
	}
}

// TestAFailureTellsWhetherTheRequestWasSent: a request that was not written in full was not worked on.
func TestAFailureTellsWhetherTheRequestWasSent(t *testing.T) {
	long := batholith.Call{Path: "/chat/completions", Body: make([]byte, 32<<20)} // more than the buffers of two sockets hold
	for _, c := range []struct {
		name string
		h    http.HandlerFunc
		call batholith.Call
		sent bool
	}{
		{"answered", says(500, ""), call, true},
		{"answered before the end", says(413, ""), long, true},
		{"closed after the request", reading(hijacked("")), call, true},
		{"closed before the end of the request", resetting, long, false},
	} {
		s := httptest.NewServer(c.h)
		b, _ := New(Options{URL: s.URL + "/v1"})
		_, err := b.Do(t.Context(), c.call)
		if f, ok := errors.AsType[*batholith.Failure](err); !ok || f.Sent != c.sent {
			t.Errorf("%s: %v, want sent: %v", c.name, err, c.sent)
		}
		s.Close()
	}
}

// reading reads the request first.
func reading(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		h(w, r)
	}
}

func TestAnUnusableURLIsRefused(t *testing.T) {
	for _, url := range []string{"", "localhost:8000", "ftp://host/v1", "http://", "http://user:pw@:\x00"} {
		if _, err := New(Options{URL: url}); err == nil {
			t.Errorf("%q was taken", url)
		} else if strings.Contains(err.Error(), "pw") {
			t.Errorf("%q: the error shows the password: %v", url, err)
		}
	}
	if _, err := New(Options{URL: "http://host/v1", Protocol: "carrier"}); err == nil {
		t.Error("an unknown protocol was taken")
	}
}
