package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"

	"github.com/batholith/batholith/internal/certs"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/oidc"
	"github.com/batholith/batholith/internal/sigv4"
)

// verifier authenticates requests: by the keys of the settings, or by tokens of an issuer.
type verifier interface {
	// Admit looks at the head of a request. verified: the head alone proves who sent it.
	Admit(r *http.Request) (verified bool, err error)
	// Verify returns the sender of a whole request, or the refusal.
	Verify(r *http.Request, body []byte) (sigv4.Identity, error)
}

// withTokens also accepts tokens of an OpenID Connect issuer. The keys of the settings are tried first, so an
// issuer cannot take the place of a key.
type withTokens struct {
	*sigv4.Verifier
	issuer issuer
}

// issuer tells whose a token is.
type issuer interface {
	Identity(ctx context.Context, token string) (oidc.Identity, error)
}

// newVerifier returns the verifier of the settings: with an issuer if oidc.issuer is set.
func newVerifier(c *config.Config, keys *sigv4.Verifier) verifier {
	o := c.OIDC
	if o.Issuer == "" {
		return keys
	}
	return withTokens{keys, oidc.New(oidc.Options{Issuer: o.Issuer, Transport: issuerTransport(o.CAFile), Audience: o.Audience, PrincipalClaim: o.PrincipalClaim, GroupsClaim: o.GroupsClaim,
		AccountClaim: o.AccountClaim, Account: c.Account, Prefix: o.Prefix})}
}

// issuerTransport returns the transport for an issuer whose certificate is of the authorities in a PEM file. It is nil,
// the default one, without a file. The settings were checked: a file that has gone since then is an empty pool, so
// that no other authority is trusted in its place.
func issuerTransport(file string) http.RoundTripper {
	if file == "" {
		return nil
	}
	roots, err := certs.Pool(file)
	if err != nil {
		roots = x509.NewCertPool()
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: roots}
	return t
}

// tokenKey is the place of a request's verified token in its context.
type tokenKey struct{}

// verified is a token and its holder. Verify need not check again the token that Admit has checked.
type verified struct {
	token  string
	holder oidc.Identity
}

// rememberTokens gives each request a place for its verified token.
func rememberTokens(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tokenKey{}, &verified{})))
	})
}

// identity returns the holder of a token. Within one request, a token is checked once.
func (v withTokens) identity(r *http.Request, token string) (oidc.Identity, error) {
	known, _ := r.Context().Value(tokenKey{}).(*verified)
	if known != nil && known.token == token {
		return known.holder, nil
	}
	holder, err := v.issuer.Identity(r.Context(), token)
	if known != nil && err == nil {
		*known = verified{token, holder}
	}
	return holder, err
}

// Admit checks the head of a request. A valid token verifies the request at once. The first tokens of an issuer
// make it read the issuer's keys, which may take as long as the request's context allows.
func (v withTokens) Admit(r *http.Request) (bool, error) {
	proven, err := v.Verifier.Admit(r)
	if token, ok := tokenOf(r); err != nil && ok {
		_, err = v.identity(r, token)
		return err == nil, err
	}
	return proven, err
}

// Verify returns the holder of the key or of the token. If neither is valid and the bearer has the form of a
// token, the error is the issuer's.
func (v withTokens) Verify(r *http.Request, body []byte) (sigv4.Identity, error) {
	who, err := v.Verifier.Verify(r, body)
	if token, ok := tokenOf(r); err != nil && ok {
		holder, err := v.identity(r, token)
		return sigv4.Identity{Account: holder.Account, Principal: holder.Principal, Groups: holder.Groups}, err
	}
	return who, err
}

// tokenOf returns the bearer of a request and whether it has the form of a token. It does not verify it. Several
// Authorization headers count as none.
func tokenOf(r *http.Request) (string, bool) {
	sent := r.Header.Values("Authorization")
	if len(sent) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(sent[0], " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && oidc.IsToken(token)
}
