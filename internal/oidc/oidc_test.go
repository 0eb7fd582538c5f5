package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith/internal/oidc/oidctest"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// issuer is an OpenID Connect issuer whose keys, failures and clock the test sets.
type issuer struct {
	url     string
	keys    []jose.JSONWebKey // public
	signer  crypto.Signer
	kid     string
	status  int    // 0: as usual
	garbage string // in place of every document
	asked   int
	now     time.Time
}

func newIssuer(t testing.TB) *issuer {
	i := &issuer{now: noon}
	i.rotate(t, "first")
	mux := http.NewServeMux()
	document := func(path string, make func() any) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			i.asked++
			switch {
			case i.status != 0:
				w.WriteHeader(i.status)
			case i.garbage != "":
				fmt.Fprint(w, i.garbage)
			default:
				w.Header().Set("Content-Type", "application/json")
				json.NewEncoder(w).Encode(make())
			}
		})
	}
	document("/.well-known/openid-configuration", func() any { return map[string]string{"issuer": i.url, "jwks_uri": i.url + "/keys"} })
	document("/keys", func() any { return jose.JSONWebKeySet{Keys: i.keys} })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	i.url = server.URL
	return i
}

// rotate has the issuer sign with a new key, and publish it alone.
func (i *issuer) rotate(t testing.TB, kid string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.signer, i.kid = key, kid
	i.keys = []jose.JSONWebKey{{Key: key.Public(), KeyID: kid, Algorithm: "ES256", Use: "sig"}}
}

func (i *issuer) options() Options {
	return Options{Issuer: i.url, Audience: "batholith", Account: "000000000000", Now: func() time.Time { return i.now }}
}

// claims are those of a sound token, changed.
func (i *issuer) claims(change map[string]any) map[string]any {
	c := map[string]any{"iss": i.url, "aud": "batholith", "sub": "alice", "exp": i.now.Add(time.Hour).Unix(), "iat": i.now.Unix(), "groups": []string{"red", "blue"}}
	for k, v := range change {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

func (i *issuer) token(t testing.TB, change map[string]any) string {
	return oidctest.Sign(t, jose.ES256, i.signer, i.kid, i.claims(change))
}

// code is the code of an error and its status; "" for none.
func code(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	code, status, _ := e.Refusal()
	return fmt.Sprint(status, " ", code)
}

const (
	wrong = "403 UnrecognizedClientException"
	old   = "403 ExpiredTokenException"
	away  = "503 ServiceUnavailableException"
)

func TestATokenIsItsHolders(t *testing.T) {
	i := newIssuer(t)
	for name, c := range map[string]struct {
		change func(*Options)
		claims map[string]any
		want   Identity
	}{
		"as it comes":      {nil, nil, Identity{"000000000000", "alice", []string{"red", "blue"}}},
		"without groups":   {nil, map[string]any{"groups": nil}, Identity{"000000000000", "alice", nil}},
		"one group":        {nil, map[string]any{"groups": "red"}, Identity{"000000000000", "alice", []string{"red"}}},
		"other claims":     {func(o *Options) { o.PrincipalClaim, o.GroupsClaim = "name", "teams" }, map[string]any{"name": "Al", "teams": []string{"x"}}, Identity{"000000000000", "Al", []string{"x"}}},
		"account":          {func(o *Options) { o.AccountClaim = "acct" }, map[string]any{"acct": "111111111111"}, Identity{"111111111111", "alice", []string{"red", "blue"}}},
		"prefix":           {func(o *Options) { o.Prefix = "sso:" }, nil, Identity{"000000000000", "sso:alice", []string{"sso:red", "sso:blue"}}},
		"several audience": {nil, map[string]any{"aud": []string{"x", "batholith"}}, Identity{"000000000000", "alice", []string{"red", "blue"}}},
		"email":            {func(o *Options) { o.PrincipalClaim = "email" }, map[string]any{"email": "a@example.net", "email_verified": true}, Identity{"000000000000", "a@example.net", []string{"red", "blue"}}},
	} {
		o := i.options()
		if c.change != nil {
			c.change(&o)
		}
		got, err := New(o).Identity(t.Context(), i.token(t, c.claims))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestAWrongTokenIsRefused(t *testing.T) {
	i := newIssuer(t)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(i.signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	sound := i.token(t, nil)
	head, rest, _ := strings.Cut(sound, ".")
	body, signature, _ := strings.Cut(rest, ".")
	other := strings.Split(i.token(t, map[string]any{"sub": "admin"}), ".")[1]
	for name, c := range map[string]struct{ token, want string }{
		"another audience":           {i.token(t, map[string]any{"aud": "other"}), wrong},
		"no audience":                {i.token(t, map[string]any{"aud": nil}), wrong},
		"another issuer":             {i.token(t, map[string]any{"iss": "https://example.net"}), wrong},
		"expired":                    {i.token(t, map[string]any{"exp": noon.Add(-time.Second).Unix()}), old},
		"no end":                     {i.token(t, map[string]any{"exp": nil}), old},
		"not yet":                    {i.token(t, map[string]any{"nbf": noon.Add(time.Hour).Unix()}), wrong},
		"another's key":              {oidctest.Sign(t, jose.ES256, stranger, "first", i.claims(nil)), wrong},
		"a key of no name":           {oidctest.Sign(t, jose.ES256, stranger, "", i.claims(nil)), wrong},
		"the public key as a secret": {oidctest.Sign(t, jose.HS256, public, "first", i.claims(nil)), wrong},
		"no signature":               {"eyJhbGciOiJub25lIn0." + body + ".AA", wrong},
		"changed":                    {head + "." + other + "." + signature, wrong},
		"no principal":               {i.token(t, map[string]any{"sub": nil}), wrong},
		"a number as principal":      {i.token(t, map[string]any{"sub": 7}), wrong},
		"a newline in the principal": {i.token(t, map[string]any{"sub": "a\nb"}), wrong},
		"a long principal":           {i.token(t, map[string]any{"sub": strings.Repeat("a", maxName+1)}), wrong},
		"numbers as groups":          {i.token(t, map[string]any{"groups": []int{1}}), wrong},
		"no token":                   {"a.b.c", wrong},
	} {
		who, err := New(i.options()).Identity(t.Context(), c.token)
		if got := code(t, err); got != c.want || who.Principal != "" {
			t.Errorf("%s: %v %v", name, who, err)
		} else if strings.Contains(err.Error(), c.token) {
			t.Errorf("%s: the token is told: %v", name, err)
		}
	}
	o := i.options()
	o.AccountClaim = "acct"
	for _, account := range []any{nil, "1", 111111111111, "11111111111a"} {
		if _, err := New(o).Identity(t.Context(), i.token(t, map[string]any{"acct": account})); code(t, err) != wrong {
			t.Errorf("account %v: %v", account, err)
		}
	}
	o = i.options()
	o.PrincipalClaim = "email"
	for _, verified := range []any{false, "false", "False", "", 0} {
		_, err := New(o).Identity(t.Context(), i.token(t, map[string]any{"email": "a@example.net", "email_verified": verified}))
		if code(t, err) != wrong {
			t.Errorf("email_verified %#v: %v", verified, err)
		}
	}
	for _, verified := range []any{true, "true"} {
		if _, err := New(o).Identity(t.Context(), i.token(t, map[string]any{"email": "a@example.net", "email_verified": verified})); err != nil {
			t.Errorf("email_verified %#v: %v", verified, err)
		}
	}
}

func TestAnIssuerThatIsAwayIsNoWrongToken(t *testing.T) {
	i := newIssuer(t)
	s := New(i.options())
	if i.asked != 0 {
		t.Error("the issuer was asked before a token came")
	}
	ask := func() string { _, err := s.Identity(t.Context(), i.token(t, nil)); return code(t, err) }
	i.status = http.StatusBadGateway
	if got := ask(); got != away {
		t.Error(got)
	}
	i.status, i.garbage = 0, "<html>"
	i.now = i.now.Add(retryTime)
	if got := ask(); got != away {
		t.Error(got)
	}
	i.garbage = ""
	if got := ask(); got != away { // it was asked a moment ago
		t.Error(got)
	}
	i.now = i.now.Add(retryTime)
	if got := ask(); got != "" {
		t.Error(got)
	}
	// From now on its keys are known, and it may be away.
	i.status = http.StatusServiceUnavailable
	if got := ask(); got != "" {
		t.Error(got)
	}
	i.now = i.now.Add(2 * refreshTime)
	if got := ask(); got != "" {
		t.Error(got)
	}
	// What its keys do not settle, nobody can say while it is away.
	i.rotate(t, "second")
	if got := ask(); got != away {
		t.Error(got)
	}
	i.status = 0
	i.now = i.now.Add(retryTime)
	if got := ask(); got != "" {
		t.Error(got)
	}
	gone := New(Options{Issuer: "http://127.0.0.1:1", Audience: "batholith", Account: "000000000000"})
	if _, err := gone.Identity(t.Context(), i.token(t, nil)); code(t, err) != away {
		t.Error(err)
	}
}

func TestANewKeyIsTakenAndAWithdrawnOneIsNot(t *testing.T) {
	i := newIssuer(t)
	s := New(i.options())
	ask := func(token string) string { _, err := s.Identity(t.Context(), token); return code(t, err) }
	before := i.token(t, map[string]any{"exp": noon.Add(24 * time.Hour).Unix()})
	if got := ask(before); got != "" {
		t.Fatal(got)
	}
	i.rotate(t, "second")
	i.now = i.now.Add(retryTime)
	if got := ask(i.token(t, nil)); got != "" {
		t.Error(got)
	}
	i.now = i.now.Add(refreshTime)
	if got := ask(before); got != wrong {
		t.Error(got)
	}
}

// Strangers can send any number of tokens. Each has the keys fetched, were it not for the pace.
func TestStrangersTokensDoNotFloodTheIssuer(t *testing.T) {
	i := newIssuer(t)
	s := New(i.options())
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		token := oidctest.Sign(t, jose.ES256, stranger, fmt.Sprint("key", n), i.claims(nil))
		if _, err := s.Identity(t.Context(), token); code(t, err) != wrong {
			t.Fatal(err)
		}
	}
	if i.asked != 2 {
		t.Errorf("the issuer was asked %d times: want its configuration and its keys, once each", i.asked)
	}
}

func TestOnlyATokenHasTheFormOfOne(t *testing.T) {
	i := newIssuer(t)
	for bearer, want := range map[string]bool{i.token(t, nil): true, "a.b": false, "": false, "bedrock-test-key": false, "AKTEST.bm90IGEgdG9rZW4": false, "a.b.c d": false} {
		if IsToken(bearer) != want {
			t.Error(bearer)
		}
	}
}
