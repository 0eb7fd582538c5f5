package cli

import (
	"net/http"
	"strings"

	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/oidc"
	"github.com/batholith/batholith/internal/sigv4"
)

// A verifier tells who sent a request: by the keys of the settings, or by a token.
type verifier interface {
	// Admit looks at the head of a request. verified: the head alone proves who sent it.
	Admit(r *http.Request) (verified bool, err error)
	Verify(r *http.Request, body []byte) (sigv4.Identity, error)
}

// withTokens also takes the tokens of an issuer. A key of the settings comes first, whatever its form.
type withTokens struct {
	*sigv4.Verifier
	issuer *oidc.Issuer
}

// newVerifier returns the verifier of the settings.
func newVerifier(c *config.Config, keys *sigv4.Verifier) verifier {
	o := c.OIDC
	if o.Issuer == "" {
		return keys
	}
	return withTokens{keys, oidc.New(oidc.Options{Issuer: o.Issuer, Audience: o.Audience, PrincipalClaim: o.PrincipalClaim, GroupsClaim: o.GroupsClaim,
		AccountClaim: o.AccountClaim, Account: c.Account, Prefix: o.Prefix})}
}

// Admit implements verifier.
func (v withTokens) Admit(r *http.Request) (bool, error) {
	verified, err := v.Verifier.Admit(r)
	if token, ok := tokenOf(r); err != nil && ok {
		_, err = v.issuer.Identity(r.Context(), token)
		return err == nil, err
	}
	return verified, err
}

// Verify implements verifier.
func (v withTokens) Verify(r *http.Request, body []byte) (sigv4.Identity, error) {
	who, err := v.Verifier.Verify(r, body)
	if token, ok := tokenOf(r); err != nil && ok {
		holder, err := v.issuer.Identity(r.Context(), token)
		return sigv4.Identity{Account: holder.Account, Principal: holder.Principal, Groups: holder.Groups}, err
	}
	return who, err
}

// tokenOf returns the bearer key of a request if it has the form of a token.
func tokenOf(r *http.Request) (string, bool) {
	sent := r.Header.Values("Authorization")
	if len(sent) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(sent[0], " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && oidc.IsToken(token)
}
