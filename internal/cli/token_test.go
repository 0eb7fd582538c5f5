package cli

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/oidc"
	"github.com/batholith/batholith/internal/sigv4"
)

// A bearer that is a key of the settings never leaves the process. One that has the form of a token is for the issuer to judge, which here is
// away, and others are unknown keys.
func TestOnlyATokenIsAskedAtTheIssuer(t *testing.T) {
	c := &config.Config{Region: "us-east-1", Account: "000000000000", OIDC: config.OIDC{Issuer: "http://127.0.0.1:1", Audience: "a"},
		APIKeys: []config.APIKey{{Key: "plain-key", Principal: "alice", Account: "000000000000"}, {Key: "three.part.key", Principal: "bob", Account: "000000000000"}}}
	for bearer, want := range map[string]struct {
		principal, code string
		status          int
	}{
		"Bearer plain-key":      {"alice", "", 0},
		"Bearer three.part.key": {"bob", "", 0},
		"Bearer other.part.key": {"", oidc.CodeUnavailable, http.StatusServiceUnavailable},
		"bearer  a.b.c ":        {"", oidc.CodeUnavailable, http.StatusServiceUnavailable},
		"Bearer other-key":      {"", sigv4.CodeUnrecognized, http.StatusForbidden},
		"Basic a.b.c":           {"", sigv4.CodeIncomplete, http.StatusBadRequest},
		"":                      {"", sigv4.CodeMissing, http.StatusForbidden},
	} {
		v := newVerifier(c, sigv4.New(c.Region, "bedrock", keyRing(c), time.Now))
		r := httptest.NewRequest("GET", "/model-invocation-jobs", nil)
		if bearer != "" {
			r.Header.Set("Authorization", bearer)
		}
		verified, err := v.Admit(r)
		who, err2 := v.Verify(r, nil)
		if verified != (want.principal != "") || who.Principal != want.principal || (err == nil) != verified || (err2 == nil) != verified {
			t.Errorf("%q: %t %v, %v %v", bearer, verified, err, who, err2)
		}
		for _, err := range []error{err, err2} {
			var refusal bedrock.Refusal
			if errors.As(err, &refusal) {
				if code, status, _ := refusal.Refusal(); code != want.code || status != want.status {
					t.Errorf("%q: %v", bearer, err)
				}
			} else if err != nil {
				t.Errorf("%q: %v is no refusal", bearer, err)
			}
		}
	}
}

// counting is an issuer that knows one token, and counts what it is asked.
type counting struct{ asked int }

func (c *counting) Identity(_ context.Context, token string) (oidc.Identity, error) {
	c.asked++
	if token != "a.good.token" {
		return oidc.Identity{}, &oidc.Error{Code: oidc.CodeInvalid, Status: http.StatusForbidden}
	}
	return oidc.Identity{Account: "000000000000", Principal: "alice"}, nil
}

func TestATokenIsCheckedOncePerRequest(t *testing.T) {
	issuer := &counting{}
	v := withTokens{sigv4.New("us-east-1", "bedrock", keyRing(&config.Config{}), time.Now), issuer}
	h := rememberTokens(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		proven, err := v.Admit(r)
		who, err2 := v.Verify(r, nil)
		good := r.Header.Get("Authorization") == "Bearer a.good.token"
		if proven != good || (err == nil) != good || (err2 == nil) != good || (who.Principal == "alice") != good {
			t.Errorf("%q: %t %v; %+v %v", r.Header.Get("Authorization"), proven, err, who, err2)
		}
		// The holder of one token is not that of another.
		r.Header.Set("Authorization", "Bearer a.wrong.token")
		if who, err := v.Verify(r, nil); err == nil {
			t.Errorf("another token is taken for %+v", who)
		}
	}))
	for range 3 {
		r := httptest.NewRequest("GET", "/model-invocation-jobs", nil)
		r.Header.Set("Authorization", "Bearer a.good.token")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	if issuer.asked != 6 { // the good and the wrong one, in each request
		t.Errorf("the issuer's keys were used %d times for 3 requests", issuer.asked)
	}
	r := httptest.NewRequest("GET", "/model-invocation-jobs", nil)
	r.Header.Set("Authorization", "Bearer a.wrong.token")
	h.ServeHTTP(httptest.NewRecorder(), r)
}
