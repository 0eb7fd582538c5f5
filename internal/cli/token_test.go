package cli

import (
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
