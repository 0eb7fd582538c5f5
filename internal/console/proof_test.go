package console_test

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/batholith/batholith/internal/console"
	"github.com/batholith/batholith/internal/oidc"
	"github.com/batholith/batholith/internal/sigv4"
)

// issued are the keys of a service that has issued one temporary key.
type issued struct {
	*sigv4.Ring
	now func() time.Time
}

func (k issued) Session(id, token string) (sigv4.AccessKey, error) {
	switch {
	case id != "ASIATEMP" || token != "token+of/alice==":
		return sigv4.AccessKey{}, sigv4.ErrNoSession
	case !k.now().Before(begin.Add(80 * time.Minute)):
		return sigv4.AccessKey{}, sigv4.ErrExpired
	}
	return sigv4.AccessKey{ID: id, Secret: "temporary-secret", SessionToken: token, Identity: sigv4.Identity{Account: "000000000000", Principal: "alice"}}, nil
}

// signedSite is a site whose API takes signatures of a temporary key only.
func signedSite(t *testing.T) *site {
	t.Helper()
	return newSite(t, func(o *console.Options) {
		o.Region = "eu-north-1"
		v := sigv4.New(o.Region, "bedrock", issued{sigv4.NewRing(nil, nil), o.Now}, o.Now)
		o.Verify = func(r *http.Request) (sigv4.Identity, error) { return v.Verify(r, nil) }
		api := o.API
		o.API = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if _, err := v.Verify(r, body); err != nil {
				t.Errorf("%s: %v", r.URL, err)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+sigv4.BearerOf("AKALICE", "alices-secret"))
			api.ServeHTTP(w, r)
		})
	})
}

func TestTemporaryKeysSignInUntilTheyExpire(t *testing.T) {
	s := signedSite(t)
	form := func(id, secret, token string) url.Values {
		return url.Values{"key-id": {id}, "secret": {secret}, "session-token": {token}}
	}
	for _, c := range []struct {
		form url.Values
		says string
	}{
		{form("ASIATEMP", "temporary-secret", ""), "type its session token too"},
		{form("ASIATEMP", "temporary-secret", "another"), "or its session token is wrong"},
		{form("ASIATEMP", "wrong", "token+of/alice=="), "or its session token is wrong"},
	} {
		if status, at, text := s.post("/console/sign-in", c.form); status < 400 || at != "/console/sign-in" || !strings.Contains(text, c.says) || strings.Contains(text, "token+of") {
			t.Errorf("%v: %d at %s\n%s", c.form, status, at, text)
		}
	}
	if status, at, text := s.post("/console/sign-in", form("ASIATEMP", "temporary-secret", " token+of/alice==\n")); status != 200 || at != "/console/" {
		t.Fatalf("%d at %s\n%s", status, at, text)
	}
	for _, path := range []string{"/console/?name=a+b&page=x%2Fy", "/console/jobs/aaaaaaaaaaaa", "/console/models", "/console/events"} {
		if status, at, _ := s.get(path); status != 200 || !strings.HasPrefix(path, at) {
			t.Errorf("%s: %d at %s", path, status, at)
		}
	}
	if _, _, text := s.get("/console/models"); !strings.Contains(text, "access key ASIATEMP") {
		t.Error("the page does not say whose key it is")
	}
	s.post("/console/jobs/aaaaaaaaaaaa/stop", url.Values{"csrf": {s.token("/console/jobs/aaaaaaaaaaaa")}})
	if !s.api.did("POST /model-invocation-job/aaaaaaaaaaaa/stop") {
		t.Error("a button does nothing")
	}
	s.pass(20 * time.Minute)
	if _, at, _ := s.get("/console/models"); at != "/console/sign-in" {
		t.Errorf("after the end of the keys the session opens %s", at)
	}
	if status, _, text := s.post("/console/sign-in", form("ASIATEMP", "temporary-secret", "token+of/alice==")); status != http.StatusForbidden || !strings.Contains(text, "have expired") {
		t.Errorf("expired keys: %d\n%s", status, text)
	}
}

func TestATokenOfAnIssuerSignsInUntilItExpires(t *testing.T) {
	const token = "head.claims.signature"
	var s *site
	down := false
	s = newSite(t, func(o *console.Options) {
		o.Verify = func(r *http.Request) (sigv4.Identity, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			switch {
			case r.Header.Get("Authorization") != "Bearer "+token:
				return sigv4.Identity{}, &oidc.Error{Code: oidc.CodeInvalid, Status: http.StatusForbidden, Message: "The token is not valid: it is of another issuer."}
			case down:
				return sigv4.Identity{}, &oidc.Error{Code: oidc.CodeUnavailable, Status: http.StatusServiceUnavailable, Message: "The token cannot be checked now. Try again."}
			case !s.clock.Before(begin.Add(80 * time.Minute)):
				return sigv4.Identity{}, &oidc.Error{Code: oidc.CodeExpired, Status: http.StatusForbidden, Message: "The token expired at noon."}
			}
			return sigv4.Identity{Account: "000000000000", Principal: "oidc:carol"}, nil
		}
	})
	s.api.keys[token] = "oidc:carol"
	set := func(to bool) { s.mu.Lock(); defer s.mu.Unlock(); down = to }
	if status, _, text := s.post("/console/sign-in", url.Values{"bearer": {"other.claims.signature"}}); status != http.StatusForbidden || !strings.Contains(text, "another issuer") {
		t.Errorf("another issuer's: %d\n%s", status, text)
	}
	set(true)
	for range 12 { // no guesses, which would be slowed down
		if status, _, text := s.post("/console/sign-in", url.Values{"bearer": {token}}); status != http.StatusServiceUnavailable || !strings.Contains(text, "cannot be checked now") {
			t.Fatalf("while the issuer is away: %d\n%s", status, text)
		}
	}
	set(false)
	if status, at, text := s.post("/console/sign-in", url.Values{"bearer": {"Bearer " + token}}); status != 200 || at != "/console/" {
		t.Fatalf("%d at %s\n%s", status, at, text)
	}
	set(true)
	if status, _, text := s.get("/console/models"); status != http.StatusServiceUnavailable || !strings.Contains(text, "cannot be checked now") {
		t.Errorf("while the issuer is away: %d\n%s", status, text)
	}
	set(false)
	if status, at, _ := s.get("/console/models"); status != 200 || at != "/console/models" {
		t.Errorf("the session has ended with the outage: %d at %s", status, at)
	}
	s.pass(30 * time.Minute)
	if _, at, _ := s.get("/console/models"); at != "/console/sign-in" {
		t.Errorf("after the end of the token the session opens %s", at)
	}
}
