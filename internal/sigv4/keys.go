package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
)

// Identity is the owner of a key.
type Identity struct {
	Account   string // 12 digits
	Principal string // user or role name within the account
	Groups    []string
}

// AccessKey is a key pair that signs requests.
type AccessKey struct {
	ID, Secret   string
	SessionToken string // if not empty, every request must send it as X-Amz-Security-Token
	Role         string // ARN of the role that a temporary key stands for; "": none
	From         string // id of the key that a temporary key without a role was made from; "": none
	Identity
}

// APIKey is a key that clients send as it is: Authorization: Bearer KEY.
type APIKey struct {
	Key string
	Identity
}

// Keys looks up keys. Implementations must be safe for concurrent use.
type Keys interface {
	// AccessKey returns the key with this id.
	AccessKey(id string) (AccessKey, bool)
	// Bearer returns the owner of an API key. Its duration must not reveal how much of a wrong
	// key is correct.
	Bearer(key string) (Identity, bool)
}

// Sessions looks up temporary keys. A Keys that implements it accepts them. Implementations must be safe for
// concurrent use.
type Sessions interface {
	// Session returns the temporary key with this id and session token. The error is ErrNoSession or ErrExpired.
	Session(id, token string) (AccessKey, error)
}

// Errors of Sessions.
var (
	ErrNoSession = errors.New("the session token was not issued here, belongs to another key, or its role or key is gone")
	ErrExpired   = errors.New("the session token has expired")
)

// Ring is a fixed set of keys. It is immutable and safe for concurrent use.
type Ring struct {
	access map[string]AccessKey
	bearer map[[sha256.Size]byte]Identity // by SHA-256, so a look-up does not compare secrets
}

// NewRing returns a set of keys. If two have the same id, the later one wins.
func NewRing(access []AccessKey, api []APIKey) *Ring {
	r := &Ring{access: make(map[string]AccessKey, len(access)), bearer: make(map[[sha256.Size]byte]Identity, len(api))}
	for _, k := range access {
		r.access[k.ID] = k
	}
	for _, k := range api {
		r.bearer[sha256.Sum256([]byte(k.Key))] = k.Identity
	}
	return r
}

// AccessKey implements [Keys].
func (r *Ring) AccessKey(id string) (AccessKey, bool) {
	k, ok := r.access[id]
	return k, ok
}

// Bearer implements [Keys].
func (r *Ring) Bearer(key string) (Identity, bool) {
	who, ok := r.bearer[sha256.Sum256([]byte(key))]
	return who, ok
}

// BearerOf returns the bearer key of an access key. It is for clients whose tools sign for
// another service with other keys and can send an extra header. It is derived from the secret
// but does not reveal it: ID + "." + base64url(HMAC-SHA256(secret, fixed text + ID)).
func BearerOf(id, secret string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte("batholith bearer key of " + id))
	return id + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}
