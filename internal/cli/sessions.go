package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/door"
	"github.com/batholith/batholith/internal/s3serve"
	"github.com/batholith/batholith/internal/sigv4"
	"github.com/batholith/batholith/internal/sts"
)

// keys are the keys that may call the server: those of the settings, and the temporary ones of sessions made with
// them.
type keys struct {
	*rings
	*sts.Sessions
}

// rings are the keys of the settings. A reload replaces them as a whole.
type rings struct{ now atomic.Pointer[sigv4.Ring] }

// newRings returns the keys of c.
func newRings(c *config.Config) *rings {
	r := &rings{}
	r.now.Store(keyRing(c))
	return r
}

// AccessKey implements sigv4.Keys.
func (r *rings) AccessKey(id string) (sigv4.AccessKey, bool) { return r.now.Load().AccessKey(id) }

// Bearer implements sigv4.Keys.
func (r *rings) Bearer(key string) (sigv4.Identity, bool) { return r.now.Load().Bearer(key) }

// openKeys returns the keys of the settings, and the sessions made with them. Sessions are not stored: their token
// holds everything, sealed with a key that all API processes of a database share. So a session stays valid over a
// restart, and every API process takes it, until it expires.
func (s *service) openKeys(ctx context.Context) (*keys, error) {
	var seal []byte
	err := s.adoptAdmin(ctx, s.o.Config)
	if err == nil {
		seal, err = s.sessionKey(ctx)
	}
	if err != nil {
		return nil, err
	}
	ring := newRings(s.o.Config)
	sessions, err := sts.NewSessions(seal, sessionSource{ring, s.settings}, s.clock.Now)
	return &keys{ring, sessions}, err
}

// sessionSource tells package sts which keys and roles sessions can be made from.
type sessionSource struct {
	*rings
	settings func() *config.Config // present ones
}

// Role returns the role with this ARN if the settings have it. It implements sts.Source.
func (s sessionSource) Role(arn string) (sts.Role, bool) {
	r, ok := roleOf(s.settings(), arn)
	return sts.Role{ExternalID: r.ExternalID}, ok
}

// roleOf returns the entry of the settings for a role, which may be a pattern. The account's own role needs no
// entry. An ARN with "*" names no role.
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

// s3Sessions gives the embedded S3 the temporary keys of sessions.
type s3Sessions struct {
	*sts.Sessions
	settings func() *config.Config // present ones
}

// Session returns the account of a temporary key, if its token is valid and has not expired. The session of a role
// reaches the buckets of the role. It implements s3serve.Sessions.
func (s s3Sessions) Session(id, token string) (s3serve.Account, error) {
	k, err := s.Sessions.Session(id, token)
	if err != nil {
		return s3serve.Account{}, err
	}
	a := s3serve.Account{AccessKeyID: k.ID, Secret: k.Secret, Identity: k.Identity, Role: k.Role != ""}
	if r, ok := roleOf(s.settings(), k.Role); ok {
		a.Buckets = r.Buckets
	}
	return a, nil
}

// narrowing decides as the policies do, with one addition: the session of a role that is limited to buckets may
// not pass or assume another role unless a policy permits it. Otherwise it could reach, through that role, buckets
// that its own role cannot.
type narrowing struct {
	*authz.Policies
	settings func() *config.Config // present ones
}

// Unrestricted reports whether every request of a known caller is allowed: there are no policies, and no role is
// limited to buckets. It implements control.Authorizer.
func (n narrowing) Unrestricted() bool {
	return n.Policies.Unrestricted() && !slices.ContainsFunc(n.settings().Roles, func(r config.Role) bool { return len(r.Buckets) > 0 })
}

// Decide returns the decision for a request, with the reason if it is denied. It serves the Bedrock API and the
// token service.
func (n narrowing) Decide(ctx context.Context, r authz.Request) authz.Decision {
	d := n.Policies.Decide(ctx, r)
	if !d.Allowed || len(d.Policies) > 0 || r.Resource.Type != authz.TypeRole || !strings.Contains(r.Who.Principal, ":assumed-role/") {
		return d
	}
	// A role that is not limited to buckets loses nothing by this rule, and a role may always pass itself.
	for _, own := range r.Who.Groups { // the group of a session is the ARN of its role
		if role, ok := roleOf(n.settings(), own); ok && len(role.Buckets) > 0 && own != r.Resource.ID {
			return authz.Decision{Reason: fmt.Sprintf("The role %s is narrowed to buckets, so its sessions use no other role unless a policy permits it.", own)}
		}
	}
	return d
}

// tokenService returns the handler of STS requests that are signed for a region.
func (s *service) tokenService(region string) http.Handler {
	return &sts.Handler{Verifier: newVerifier(s.o.Config, sigv4.New(region, sts.Service, s.callers, s.clock.Now)), Sessions: s.callers.Sessions,
		Authorizer: onTrail{narrowing{s.policy, s.settings}}, Log: s.o.Log, Proven: func(r *http.Request) { door.From(r.Context()).Prove() }}
}
