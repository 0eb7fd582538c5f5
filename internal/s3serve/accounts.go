package s3serve

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"

	"github.com/batholith/batholith/internal/sigv4"
)

// Account is a key pair that may sign requests to the embedded S3.
type Account struct {
	AccessKeyID string
	Secret      string
	Identity    sigv4.Identity // who acts with the key; without an account, that of Options.Owner
	// Role means that the key is a role's: Identity.Principal is its ARN, and its rights are Buckets.
	Role bool
	// Buckets are the only buckets of its account that the key may use and create, or parts of them: BUCKET or
	// BUCKET/PREFIX; empty: every bucket.
	Buckets []string
}

// reaches reports whether the key may use a bucket of its account.
func (a Account) reaches(bucket string) bool {
	return len(a.Buckets) == 0 || slices.ContainsFunc(a.Buckets, func(entry string) bool {
		name, _, _ := strings.Cut(entry, "/")
		return name == bucket
	})
}

// accounts holds the key pairs in memory. The gateway treats all of them as administrators. The store decides
// which buckets they reach, with permit.
type accounts struct {
	owner string // account of keys without one, and of the buckets that the server makes itself
	root  Account

	sessions Sessions // nil: there are no temporary keys

	mu    sync.RWMutex
	byKey map[string]Account
	lent  map[string]Account // see Server.Lend
}

func newAccounts(owner string, root Account, list []Account) *accounts {
	root.Identity, root.Role = sigv4.Identity{Account: owner, Principal: "arn:aws:iam::" + owner + ":role/batholith"}, true
	a := &accounts{owner: owner, root: root}
	a.set(list)
	return a
}

// set replaces all accounts except root.
func (a *accounts) set(list []Account) {
	byKey := map[string]Account{a.root.AccessKeyID: a.root}
	for _, acc := range list {
		if acc.AccessKeyID != "" && acc.Secret != "" { // an account without keys cannot sign
			acc.Identity.Account = cmp.Or(acc.Identity.Account, a.owner)
			byKey[acc.AccessKeyID] = acc
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.byKey = byKey
}

// of returns the key pair of an access key id. An unsigned request has none.
func (a *accounts) of(accessKeyID string) (Account, bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	acc, ok := a.byKey[accessKeyID]
	if !ok {
		acc, ok = a.lent[accessKeyID]
	}
	return acc, ok
}

// lend adds a key pair until end is called.
func (a *accounts) lend(acc Account) (end func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lent == nil {
		a.lent = map[string]Account{}
	}
	a.lent[acc.AccessKeyID] = acc
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.lent, acc.AccessKeyID)
	}
}

// Sessions looks up temporary keys.
type Sessions interface {
	// Session returns the key of a session token. The error is sigv4.ErrNoSession or sigv4.ErrExpired.
	Session(accessKeyID, token string) (Account, error)
}

// signing returns the key pair that signs with an access key id and a session token, "" without one. The error is
// S3's.
func (a *accounts) signing(accessKeyID, token string) (Account, error) {
	acc, ok := a.of(accessKeyID)
	switch {
	case token == "" && ok:
		return acc, nil
	case token == "":
		return Account{}, s3err.GetInvalidAccessKeyIdErr(accessKeyID)
	case ok || a.sessions == nil:
		return Account{}, s3err.GetAPIError(s3err.ErrInvalidToken)
	}
	acc, err := a.sessions.Session(accessKeyID, token)
	switch {
	case errors.Is(err, sigv4.ErrExpired):
		return Account{}, refusal(http.StatusBadRequest, "ExpiredToken", "The provided token has expired.")
	case err != nil:
		return Account{}, s3err.GetAPIError(s3err.ErrInvalidToken)
	}
	return acc, nil
}

// DeriveSigningKey returns the key that verifies a signature. The gateway calls it for each request.
func (a *accounts) DeriveSigningKey(accessKeyID, token, date, region, _ string) ([]byte, auth.Account, error) {
	acc, err := a.signing(accessKeyID, token)
	if err != nil {
		return nil, auth.Account{}, err
	}
	return signingKey(acc.Secret, date, region), auth.Account{Access: acc.AccessKeyID, Role: auth.RoleAdmin}, nil
}

// GetUserAccount returns the account of an access key, with its secret. The gateway calls it to
// verify signatures.
func (a *accounts) GetUserAccount(accessKeyID string) (auth.Account, error) {
	acc, ok := a.of(accessKeyID)
	if !ok {
		return auth.Account{}, auth.ErrNoSuchUser
	}
	return auth.Account{Access: acc.AccessKeyID, Secret: acc.Secret, Role: auth.RoleAdmin}, nil
}

// ResolveAccounts returns those of the ids in an ACL or a policy that do not exist. The answer is always none:
// it must not reveal which ids other accounts have, and nothing is opened to them anyway.
func (a *accounts) ResolveAccounts([]string) ([]string, error) { return nil, nil }

// BucketOwner returns the owner that the gateway puts into the ACL of a new bucket. The store replaces it by the
// account of the caller.
func (a *accounts) BucketOwner() auth.Account {
	return auth.Account{Access: a.owner, Role: auth.RoleAdmin}
}

// CreateAccount, UpdateUserAccount, DeleteUserAccount and ListUserAccounts are the gateway's
// user management, which is not available: accounts come from the settings.

func (a *accounts) CreateAccount(auth.Account) error { return errManaged() }

// UpdateUserAccount always fails: see CreateAccount.
func (a *accounts) UpdateUserAccount(string, auth.MutableProps) error { return errManaged() }

// DeleteUserAccount always fails: see CreateAccount.
func (a *accounts) DeleteUserAccount(string) error { return errManaged() }

// ListUserAccounts always fails: see CreateAccount.
func (a *accounts) ListUserAccounts() ([]auth.Account, error) { return nil, errManaged() }

// Shutdown has nothing to release.
func (a *accounts) Shutdown() error { return nil }

func errManaged() error { return s3err.GetAPIError(s3err.ErrAdminMethodNotSupported) }

var (
	_ auth.IAMService       = (*accounts)(nil)
	_ auth.FixedBucketOwner = (*accounts)(nil)

	_ auth.SigningKeyProvider = (*accounts)(nil)
)
