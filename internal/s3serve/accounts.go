package s3serve

import (
	"slices"
	"sync"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"
)

// Account is a key pair that may sign requests to the embedded S3.
type Account struct {
	AccessKeyID string
	Secret      string
	Buckets     []string // the only buckets that it may use and create; empty: every bucket
}

// accounts holds the key pairs in memory. The gateway treats all of them as administrators of
// one account, which owns all buckets. The restriction to Buckets is checked by the store, with
// may.
type accounts struct {
	owner string
	root  Account

	mu    sync.RWMutex
	byKey map[string]Account
}

func newAccounts(owner string, root Account, list []Account) *accounts {
	a := &accounts{owner: owner, root: root}
	a.set(list)
	return a
}

// set replaces all accounts except root.
func (a *accounts) set(list []Account) {
	byKey := map[string]Account{a.root.AccessKeyID: a.root}
	for _, acc := range list {
		if acc.AccessKeyID != "" && acc.Secret != "" { // an account without keys cannot sign
			byKey[acc.AccessKeyID] = acc
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.byKey = byKey
}

// may reports whether the signer of a request may use a bucket. An unsigned request may not.
func (a *accounts) may(accessKeyID, bucket string) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	acc, ok := a.byKey[accessKeyID]
	return ok && (len(acc.Buckets) == 0 || slices.Contains(acc.Buckets, bucket))
}

// GetUserAccount returns the account of an access key, with its secret. The gateway calls it to
// verify signatures.
func (a *accounts) GetUserAccount(accessKeyID string) (auth.Account, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	acc, ok := a.byKey[accessKeyID]
	if !ok {
		return auth.Account{}, auth.ErrNoSuchUser
	}
	return auth.Account{Access: acc.AccessKeyID, Secret: acc.Secret, Role: auth.RoleAdmin}, nil
}

// ResolveAccounts returns those of the ids in an ACL or a policy that do not exist.
func (a *accounts) ResolveAccounts(ids []string) ([]string, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	missing := []string{}
	for _, id := range ids {
		if _, ok := a.byKey[id]; !ok && id != a.owner {
			missing = append(missing, id)
		}
	}
	return missing, nil
}

// BucketOwner returns the owner that the gateway reports for every bucket, so that clients can
// use x-amz-expected-bucket-owner.
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
)
