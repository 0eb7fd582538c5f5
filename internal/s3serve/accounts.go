package s3serve

import (
	"slices"
	"sync"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"
)

// Account is a key pair that may sign requests.
type Account struct {
	AccessKeyID string
	Secret      string
	Buckets     []string // all it may use, which includes making them; none = every bucket
}

// accounts are the key pairs, in memory. To the gateway all are administrators who work for one owner of all buckets; the
// narrowing to buckets is the store's, which asks may.
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

func (a *accounts) set(list []Account) {
	byKey := map[string]Account{a.root.AccessKeyID: a.root}
	for _, acc := range list {
		if acc.AccessKeyID != "" && acc.Secret != "" { // what has no keys cannot sign
			byKey[acc.AccessKeyID] = acc
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.byKey = byKey
}

// may tells whether the signer of a request may use a bucket. Nobody, who signed nothing, may not.
func (a *accounts) may(accessKeyID, bucket string) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	acc, ok := a.byKey[accessKeyID]
	return ok && (len(acc.Buckets) == 0 || slices.Contains(acc.Buckets, bucket))
}

// GetUserAccount is the gateway's question for a secret.
func (a *accounts) GetUserAccount(accessKeyID string) (auth.Account, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	acc, ok := a.byKey[accessKeyID]
	if !ok {
		return auth.Account{}, auth.ErrNoSuchUser
	}
	return auth.Account{Access: acc.AccessKeyID, Secret: acc.Secret, Role: auth.RoleAdmin}, nil
}

// ResolveAccounts says which of the ids in an ACL or a policy nobody has.
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

// BucketOwner makes the gateway give every bucket to the one account, so that clients can expect it as the owner.
func (a *accounts) BucketOwner() auth.Account {
	return auth.Account{Access: a.owner, Role: auth.RoleAdmin}
}

// What the gateway's own user management would do is done by configuration here.

func (a *accounts) CreateAccount(auth.Account) error { return errManaged() }

func (a *accounts) UpdateUserAccount(string, auth.MutableProps) error { return errManaged() }

func (a *accounts) DeleteUserAccount(string) error { return errManaged() }

func (a *accounts) ListUserAccounts() ([]auth.Account, error) { return nil, errManaged() }

func (a *accounts) Shutdown() error { return nil }

func errManaged() error { return s3err.GetAPIError(s3err.ErrAdminMethodNotSupported) }

var (
	_ auth.IAMService       = (*accounts)(nil)
	_ auth.FixedBucketOwner = (*accounts)(nil)
)
