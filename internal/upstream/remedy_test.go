package upstream

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// Each way in which a backend's url or certificate can be wrong has the remedy that mends it, which Public ends with.
func TestEveryWrongWayHasItsRemedy(t *testing.T) {
	tls := httptest.NewUnstartedServer(says(200, "{}"))
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	defer tls.Close()
	plain := httptest.NewServer(says(200, "{}"))
	defer plain.Close()
	nginx := httptest.NewServer(says(400, "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head>"))
	defer nginx.Close()
	elsewhere := httptest.NewServer(http.RedirectHandler("https://login.example.net/?key=secret", http.StatusFound))
	defer elsewhere.Close()
	for name, c := range map[string]struct {
		url    string
		kind   batholith.FailureKind
		remedy string
	}{
		"self-signed":       {tls.URL, batholith.FailureUnreachable, "SSL_CERT_FILE"},
		"http for https":    {strings.Replace(tls.URL, "https", "http", 1), misconfigured, "write https:// in the backend's url"},
		"http behind nginx": {nginx.URL, misconfigured, "write https:// in the backend's url"},
		"https for http":    {strings.Replace(plain.URL, "http", "https", 1), batholith.FailureUnreachable, "write http:// in the backend's url"},
		"redirect":          {elsewhere.URL, misconfigured, "set the backend's url to the address that it redirects to"},
	} {
		b, err := New(Options{URL: c.url + "/v1"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Do(t.Context(), call)
		f, ok := errors.AsType[*batholith.Failure](err)
		if !ok || f.Kind != c.kind || !strings.Contains(f.Remedy, c.remedy) || !strings.HasSuffix(f.Public, "; "+f.Remedy) || f.Cause()+"; "+f.Remedy != f.Public {
			t.Errorf("%s: %+v", name, f)
		}
		if strings.Contains(f.Public, "login.example.net") {
			t.Errorf("%s: words of the server are told: %s", name, f.Public)
		}
	}
}

// A message about time names the time that really passed, whichever of the timeouts it was.
func TestATimeoutNamesTheTimeThatPassed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := roundTripper(func(r *http.Request) (*http.Response, error) {
			httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{})
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		b, err := New(Options{URL: "http://model.test/v1", Model: "m", Timeout: 10 * time.Minute, Transport: hang})
		if err != nil {
			t.Fatal(err)
		}
		for name, ask := range map[string]func() error{
			"probe":   func() error { return b.Probe(t.Context()) },
			"request": func() error { _, err := b.Do(t.Context(), call); return err },
		} {
			began := time.Now()
			f, ok := errors.AsType[*batholith.Failure](ask())
			passed := time.Since(began)
			if want := map[time.Duration]string{10 * time.Second: "within 10s", 10 * time.Minute: "within 10m"}[passed]; !ok || want == "" || !strings.Contains(f.Public, want+";") {
				t.Errorf("%s after %v: %v", name, passed, f)
			}
			if mayWait := strings.Contains(f.Remedy, "longer timeout"); mayWait != (passed == 10*time.Minute) {
				t.Errorf("%s after %v: %s", name, passed, f.Remedy)
			}
		}
	})
}

// roundTripper is a transport of one function.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
