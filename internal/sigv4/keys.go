package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
)

// Identity is whom a key belongs to.
type Identity struct {
	Account   string // 12 digits
	Principal string // within the account
	Groups    []string
}

// AccessKey is a key that signs.
type AccessKey struct {
	ID, Secret   string
	SessionToken string // when set, every request must carry it
	Identity
}

// APIKey is a key that is sent as it is: Authorization: Bearer.
type APIKey struct {
	Key string
	Identity
}

// Keys finds keys. Implementations must be safe for concurrent use.
type Keys interface {
	// AccessKey returns the key with this public id.
	AccessKey(id string) (AccessKey, bool)
	// Bearer returns whose API key this is. How long it takes must not tell how much of a wrong key is right.
	Bearer(key string) (Identity, bool)
}

// Ring is a fixed set of keys.
type Ring struct {
	access map[string]AccessKey
	bearer map[[sha256.Size]byte]Identity // by hash, so that a look-up compares nothing secret
}

// NewRing makes a set of keys. Of two with the same id the later one counts.
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

// AccessKey returns the key with this public id.
func (r *Ring) AccessKey(id string) (AccessKey, bool) {
	k, ok := r.access[id]
	return k, ok
}

// Bearer returns whose API key this is.
func (r *Ring) Bearer(key string) (Identity, bool) {
	who, ok := r.bearer[sha256.Sum256([]byte(key))]
	return who, ok
}

// BearerOf is the bearer key that stands for an access key: for callers whose tools sign for another service with other keys, and can send
// this one beside. It is made from the secret and does not tell it: ID, a dot, and HMAC-SHA256 of a fixed text and the ID, in base64url.
func BearerOf(id, secret string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte("batholith bearer key of " + id))
	return id + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}
