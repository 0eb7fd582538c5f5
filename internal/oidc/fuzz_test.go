package oidc

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/batholith/batholith/internal/plain"
)

// FuzzATokenIsTakenAsItWasSignedOrNotAtAll sends texts of strangers as tokens. Only the issuer's own token is taken, and no refusal repeats the text.
func FuzzATokenIsTakenAsItWasSignedOrNotAtAll(f *testing.F) {
	i := newIssuer(f)
	sound := i.token(f, nil)
	f.Add(sound)
	f.Add(strings.Replace(sound, ".", ".e30.", 1))
	f.Add("eyJhbGciOiJub25lIn0." + strings.Split(sound, ".")[1] + ".")
	f.Add("eyJhbGciOiJFUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19.e30.AA")
	s := New(i.options())
	f.Fuzz(func(t *testing.T, token string) {
		who, err := s.Identity(t.Context(), token)
		if err == nil {
			// The last character of a base64 text may have unused bits, so the signature is compared without it.
			if short := len(sound) - 1; len(token) < short || token[:short] != sound[:short] {
				t.Fatalf("%q is taken for a token of %+v", token, who)
			}
			return
		}
		var refused *Error
		if !errors.As(err, &refused) || refused.Code == "" || who.Principal != "" {
			t.Fatalf("%q: %+v, %v", token, who, err)
		}
		if len(token) > 40 && strings.Contains(err.Error(), token) {
			t.Fatalf("the refusal repeats the token: %v", err)
		}
	})
}

// FuzzClaimsNameAHolderWhoCanBeWritten has the issuer sign any claims. A holder's names are short, printable, and begin with the prefix.
func FuzzClaimsNameAHolderWhoCanBeWritten(f *testing.F) {
	i := newIssuer(f)
	o := i.options()
	o.AccountClaim, o.Prefix = "acct", "sso:"
	s := New(o)
	for _, claims := range []map[string]any{nil, {"acct": "111111111111"}, {"acct": "111111111111", "groups": "red"}, {"acct": "111111111111", "groups": []any{"a", 7}}, {"acct": "1", "sub": 7}} {
		text, _ := json.Marshal(i.claims(claims))
		f.Add(text)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: i.signer, KeyID: i.kid}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, claims []byte) {
		signed, err := signer.Sign(claims)
		if err != nil {
			t.Fatal(err)
		}
		token, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		who, err := s.Identity(t.Context(), token)
		if err != nil {
			if !errors.As(err, new(*Error)) || plain.Line(err.Error()) != err.Error() {
				t.Fatalf("%q: %q", claims, err)
			}
			return
		}
		for _, name := range append(who.Groups, who.Principal) {
			if !strings.HasPrefix(name, "sso:") || len(name) > len("sso:")+maxName {
				t.Fatalf("%q names %q", claims, name)
			}
		}
		if !accountForm.MatchString(who.Account) || plain.Line(who.Principal) != who.Principal {
			t.Fatalf("%q: %+v", claims, who)
		}
	})
}

// onlyTo is a transport that reaches the issuer with this URL only. A configuration may name any other host.
type onlyTo string

func (o onlyTo) RoundTrip(r *http.Request) (*http.Response, error) {
	if "http://"+r.URL.Host != string(o) {
		return nil, errors.New("another host")
	}
	return http.DefaultTransport.RoundTrip(r)
}

// FuzzAnIssuersAnswerIsKeysOrUnavailable has the issuer answer anything. A token is then unavailable or wrong, and never taken, unless the answer holds the issuer's key.
func FuzzAnIssuersAnswerIsKeysOrUnavailable(f *testing.F) {
	i := newIssuer(f)
	stranger := i.token(f, nil)
	i.rotate(f, "second")
	keys, _ := json.Marshal(jose.JSONWebKeySet{Keys: i.keys})
	f.Add(string(keys), true)
	f.Add(`{"keys":[{"kty":"oct","k":"AA"},{"kty":"EC","crv":"P-256","x":"","y":""},7]}`, true)
	f.Add(`{"issuer":"`+i.url+`","jwks_uri":"`+i.url+`/keys"}`, false)
	f.Add(`{"jwks_uri":7}`, false)
	f.Fuzz(func(t *testing.T, text string, atKeys bool) {
		if text == "" {
			return
		}
		i.garbage = text
		o := i.options()
		o.Transport = onlyTo(i.url)
		s := New(o)
		if atKeys {
			i.garbage = ""
			if _, err := s.ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			i.garbage = text
		}
		who, err := s.Identity(t.Context(), stranger)
		var refused *Error
		if !errors.As(err, &refused) || who.Principal != "" {
			t.Fatalf("%q: %+v, %v", text, who, err)
		}
	})
}
