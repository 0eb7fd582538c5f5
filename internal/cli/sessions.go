package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/door"
	"github.com/batholith/batholith/internal/s3serve"
	"github.com/batholith/batholith/internal/sigv4"
	"github.com/batholith/batholith/internal/sts"
)

// keys are the keys that may call: those of the settings, and those of the sessions that were made with them.
type keys struct {
	*sigv4.Ring
	*sts.Sessions
}

// newKeys makes the keys of the settings. The first call makes the key that seals sessions, in the data directory.
func newKeys(c *config.Config) (*keys, error) {
	seal, err := config.SessionKey(c.Data)
	if err != nil {
		return nil, err
	}
	ring := keyRing(c)
	sessions, err := sts.NewSessions(seal, sessionSource{ring, c}, time.Now)
	return &keys{ring, sessions}, err
}

// sessionSource is where sessions come from.
type sessionSource struct {
	*sigv4.Ring
	c *config.Config
}

// Role implements sts.Source.
func (s sessionSource) Role(arn string) (sts.Role, bool) {
	r, ok := roleOf(s.c, arn)
	return sts.Role{ExternalID: r.ExternalID}, ok
}

// roleOf is the entry of the settings for a role; the account's own role needs none. No role has a wildcard in its name.
func roleOf(c *config.Config, arn string) (config.Role, bool) {
	if strings.Contains(arn, "*") {
		return config.Role{}, false
	}
	entries := make([]string, len(c.Roles))
	for i, r := range c.Roles {
		entries[i] = r.ARN
	}
	entry, ok := batholith.RoleOf(append(entries, c.DefaultRole()), arn)
	for _, r := range c.Roles {
		if ok && r.ARN == entry {
			return r, true
		}
	}
	return config.Role{ARN: entry}, ok
}

// s3Sessions are the sessions that the embedded S3 takes.
type s3Sessions struct {
	*sts.Sessions
	c *config.Config
}

// Session implements s3serve.Sessions. The session of a role reaches what the role does.
func (s s3Sessions) Session(id, token string) (s3serve.Account, error) {
	k, err := s.Sessions.Session(id, token)
	if err != nil {
		return s3serve.Account{}, err
	}
	a := s3serve.Account{AccessKeyID: k.ID, Secret: k.Secret, Identity: k.Identity, Role: k.Role != ""}
	if r, ok := roleOf(s.c, k.Role); ok {
		a.Buckets = r.Buckets
	}
	return a, nil
}

// narrowing decides as the policies do. Beyond that, the session of a role that is narrowed to buckets may neither pass nor assume another
// role, unless a policy permits it: through one, it would reach what the role itself does not.
type narrowing struct {
	*authz.Policies
	c *config.Config
}

// Unrestricted implements control.Authorizer.
func (n narrowing) Unrestricted() bool {
	return n.Policies.Unrestricted() && !slices.ContainsFunc(n.c.Roles, func(r config.Role) bool { return len(r.Buckets) > 0 })
}

// Decide implements the authorizers of the Bedrock API and of the token service.
func (n narrowing) Decide(ctx context.Context, r authz.Request) authz.Decision {
	d := n.Policies.Decide(ctx, r)
	if !d.Allowed || len(d.Policies) > 0 || r.Resource.Type != authz.TypeRole || !strings.Contains(r.Who.Principal, ":assumed-role/") {
		return d
	}
	for _, own := range r.Who.Groups { // the group of a session is the ARN of its role
		if role, ok := roleOf(n.c, own); ok && len(role.Buckets) > 0 && own != r.Resource.ID {
			return authz.Decision{Reason: fmt.Sprintf("The role %s is narrowed to buckets, so its sessions use no other role unless a policy permits it.", own)}
		}
	}
	return d
}

// tokenService answers STS requests that are signed for a region.
func (s *service) tokenService(region string) http.Handler {
	return &sts.Handler{Verifier: newVerifier(s.o.Config, sigv4.New(region, sts.Service, s.callers, time.Now)), Sessions: s.callers.Sessions,
		Authorizer: onTrail{narrowing{s.policy, s.o.Config}}, Log: s.o.Log, Proven: func(r *http.Request) { door.From(r.Context()).Prove() }}
}
