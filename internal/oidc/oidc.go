// Package oidc identifies callers by tokens of an OpenID Connect issuer: signed JWTs, sent as Authorization: Bearer.
//
// Nothing is fetched before the first token comes. The issuer's keys are kept in memory and fetched again when a token is signed with an unknown
// one, and every 15 minutes, so that a key that the issuer withdrew is not taken for longer. While the issuer does not answer, the keys of
// before count.
//
// Its invariant: a token whose issuer cannot be asked is unavailable (503), which SDKs retry, and never invalid (403). The package must
// not know what callers may do.
package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// Times of the talk with the issuer.
const (
	answerTime  = 10 * time.Second // for one answer of the issuer
	retryTime   = 2 * time.Second  // least time between two questions: strangers' tokens must not have us flood the issuer
	refreshTime = 15 * time.Minute // after which keys are fetched again
)

// algorithms are the signatures that are taken. All are of a private key; a token signed with a shared secret is not.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512, jose.PS256, jose.PS384, jose.PS512, jose.EdDSA}

// Options say whose tokens are taken, and how their claims are read.
type Options struct {
	Issuer   string // URL, as the claim iss has it
	Audience string // that the claim aud must have

	PrincipalClaim string // "": sub
	GroupsClaim    string // "": groups
	AccountClaim   string // "": every token is of Account
	Account        string // 12 digits
	Prefix         string // before the names of principals and groups, so that none is mistaken for one of the settings

	Transport http.RoundTripper // nil: the default one
	Now       func() time.Time  // nil: the clock
}

// Identity is a token's holder.
type Identity struct {
	Account   string
	Principal string
	Groups    []string
}

// Issuer checks tokens. It is safe for concurrent use.
type Issuer struct {
	o      Options
	client *http.Client

	mu       sync.Mutex // held while the issuer is asked who it is
	verifier *oidc.IDTokenVerifier
	failed   time.Time // when it could not be asked
	why      error
}

// New returns an issuer. It asks nothing.
func New(o Options) *Issuer {
	if o.PrincipalClaim == "" {
		o.PrincipalClaim = "sub"
	}
	if o.GroupsClaim == "" {
		o.GroupsClaim = "groups"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	return &Issuer{o: o, client: &http.Client{Timeout: answerTime, Transport: bounded{o.Transport}}}
}

// IsToken tells whether a bearer key has the form of a token: three parts in base64url, separated by dots.
func IsToken(bearer string) bool { return tokenForm.MatchString(bearer) }

var tokenForm = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`)

// Identity tells whose a token is. Any error is an [*Error].
func (i *Issuer) Identity(ctx context.Context, token string) (Identity, error) {
	v, err := i.ready(ctx)
	if err != nil {
		return Identity{}, err
	}
	var down error
	checked, err := v.Verify(context.WithValue(ctx, downKey{}, &down), token)
	var expired *oidc.TokenExpiredError
	switch {
	case down != nil:
		return Identity{}, unavailable(i.o.Issuer, down)
	case errors.As(err, &expired):
		return Identity{}, &Error{CodeExpired, http.StatusForbidden, "The token expired at " + expired.Expiry.UTC().Format(time.RFC3339) + "."}
	case err != nil:
		return Identity{}, invalid("%s", strings.TrimPrefix(err.Error(), "oidc: "))
	}
	var claims map[string]any
	if err := checked.Claims(&claims); err != nil {
		return Identity{}, invalid("its claims cannot be read: %v", err)
	}
	return i.holder(claims)
}

// ready finds out where the issuer's keys are, once. While the issuer cannot be asked it is not asked again before retryTime is over.
func (i *Issuer) ready(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.verifier != nil {
		return i.verifier, nil
	}
	if i.why != nil && i.o.Now().Sub(i.failed) < retryTime {
		return nil, unavailable(i.o.Issuer, i.why)
	}
	// What one caller asks for serves all, so that the end of one request does not end it.
	asking := oidc.ClientContext(context.WithoutCancel(ctx), i.client)
	var found struct {
		Keys string `json:"jwks_uri"`
	}
	p, err := oidc.NewProvider(asking, i.o.Issuer)
	if err == nil {
		err = p.Claims(&found)
	}
	if err == nil && found.Keys == "" {
		err = errors.New("its configuration has no jwks_uri")
	}
	if err != nil {
		i.failed, i.why = i.o.Now(), err
		return nil, unavailable(i.o.Issuer, err)
	}
	names := make([]string, len(algorithms))
	for n, a := range algorithms {
		names[n] = string(a)
	}
	keys := &keySet{url: found.Keys, client: i.client, now: i.o.Now}
	i.verifier = oidc.NewVerifier(i.o.Issuer, keys, &oidc.Config{ClientID: i.o.Audience, SupportedSigningAlgs: names, Now: i.o.Now})
	return i.verifier, nil
}

var accountForm = regexp.MustCompile(`^[0-9]{12}$`)

// maxName is the longest name of a principal or a group, in bytes.
const maxName = 512

// holder reads the claims of a token that was checked.
func (i *Issuer) holder(claims map[string]any) (Identity, error) {
	who := Identity{Account: i.o.Account}
	name, _ := claims[i.o.PrincipalClaim].(string)
	if name == "" || len(name) > maxName || plain.Line(name) != name {
		return Identity{}, invalid("its claim %s is not a name", i.o.PrincipalClaim)
	}
	// The claim may be absent. Some issuers write it as a text (OpenID Connect: a boolean).
	verified, said := claims["email_verified"]
	if i.o.PrincipalClaim == "email" && said && verified != true && verified != "true" {
		return Identity{}, invalid("its email address is not verified")
	}
	who.Principal = i.o.Prefix + name
	if i.o.AccountClaim != "" {
		who.Account, _ = claims[i.o.AccountClaim].(string)
		if !accountForm.MatchString(who.Account) {
			return Identity{}, invalid("its claim %s is not an account of 12 digits", i.o.AccountClaim)
		}
	}
	switch groups := claims[i.o.GroupsClaim].(type) {
	case string:
		who.Groups = append(who.Groups, i.o.Prefix+groups)
	case []any:
		for _, g := range groups {
			name, ok := g.(string)
			if !ok || len(name) > maxName {
				return Identity{}, invalid("its claim %s is not a list of names", i.o.GroupsClaim)
			}
			who.Groups = append(who.Groups, i.o.Prefix+name)
		}
	}
	return who, nil
}

// Error refuses a token.
type Error struct {
	Code    string
	Status  int
	Message string
}

// The codes of refusals.
const (
	CodeInvalid     = "UnrecognizedClientException"
	CodeExpired     = "ExpiredTokenException"
	CodeUnavailable = "ServiceUnavailableException"
)

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Refusal tells the error to the caller.
func (e *Error) Refusal() (code string, status int, message string) {
	return e.Code, e.Status, e.Message
}

// longest is the longest cause that is told, in characters.
const longest = 200

func invalid(format string, a ...any) error {
	return &Error{CodeInvalid, http.StatusForbidden, "The token is not valid: " + words.Shorten(plain.Line(fmt.Sprintf(format, a...)), longest) + "."}
}

func unavailable(issuer string, cause error) error {
	return &Error{CodeUnavailable, http.StatusServiceUnavailable, fmt.Sprintf("The token cannot be checked now, because the issuer %s does not tell its keys: %s. Try again.",
		issuer, words.Shorten(plain.Redact(plain.Line(cause.Error())), longest))}
}
