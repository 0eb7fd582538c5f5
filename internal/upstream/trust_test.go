package upstream

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/certs/certstest"
)

// A backend with ca_file trusts a certificate of these authorities and no other. A request goes only to a server that is trusted.
func TestAModelServerMustHaveACertificateOfItsAuthorities(t *testing.T) {
	ours, others := certstest.New(t), certstest.New(t)
	_, _, named := ours.Files(t.TempDir(), "127.0.0.1")
	for name, c := range map[string]struct {
		certificate tls.Certificate
		file        string
		trusted     bool
	}{
		"of the named authority": {ours.Pair("127.0.0.1"), named, true},
		"of another authority":   {others.Pair("127.0.0.1"), named, false},
		"for another name":       {ours.Pair("other.invalid"), named, false},
		"without ca_file":        {ours.Pair("127.0.0.1"), "", false},
	} {
		var asked atomic.Int64
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			io.WriteString(w, "{}")
		}))
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{c.certificate}}
		s.StartTLS()
		b, err := New(Options{URL: s.URL + "/v1", CAFile: c.file})
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Do(t.Context(), call)
		s.Close()
		f, failed := errors.AsType[*batholith.Failure](err)
		if trusted := asked.Load() == 1 && err == nil; trusted != c.trusted || !c.trusted && (asked.Load() > 0 || !failed || f.Kind != batholith.FailureUnreachable) {
			t.Errorf("a certificate %s: %v, %d requests", name, err, asked.Load())
		}
	}
}

// Only a redirect with the same host, scheme and method is followed, and at most maxRedirects of them.
func TestARedirectKeepsHostSchemeAndMethod(t *testing.T) {
	at := func(method, url string) *http.Request {
		r, err := http.NewRequest(method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := at("POST", "https://h:8000/v1/chat/completions")
	for _, c := range []struct {
		to       *http.Request
		before   int // requests so far
		followed bool
	}{
		{at("POST", "https://h:8000/other"), 1, true},
		{at("POST", "https://h:8000/other"), maxRedirects, true},
		{at("POST", "https://h:8000/other"), maxRedirects + 1, false},
		{at("POST", "http://h:8000/other"), 1, false},
		{at("POST", "https://h:8001/other"), 1, false},
		{at("POST", "https://i:8000/other"), 1, false},
		{at("GET", "https://h:8000/other"), 1, false},
	} {
		via := make([]*http.Request, c.before)
		for i := range via {
			via[i] = first
		}
		if followed := sameHost(c.to, via) == nil; followed != c.followed {
			t.Errorf("%s %s after %d requests is followed: %t", c.to.Method, c.to.URL, c.before, followed)
		}
	}
}
