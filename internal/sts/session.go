package sts

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/batholith/batholith/internal/sigv4"
)

// KeySize is the size of the key that seals sessions, in bytes.
const KeySize = 32

// temporaryID begins the ids of temporary keys (AWS: access key ids).
const temporaryID = "ASIA"

// Source says where sessions come from: the keys and roles of the settings.
type Source interface {
	sigv4.Keys
	// Role returns a role that may be assumed. ok is false if there is none.
	Role(arn string) (r Role, ok bool)
}

// Role is a role that may be assumed.
type Role struct {
	ExternalID string // that callers must send; "": any
}

// Sessions issues and opens temporary keys. It is safe for concurrent use.
type Sessions struct {
	seal   cipher.AEAD
	secret []byte // from which secrets are derived
	source Source
	now    func() time.Time
}

// NewSessions returns the sessions that are sealed with a key of KeySize bytes.
func NewSessions(key []byte, source Source, now func() time.Time) (*Sessions, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("the key of sessions has %d bytes, not %d", len(key), KeySize)
	}
	block, err := aes.NewCipher(derive(key, "seal"))
	if err != nil {
		return nil, err
	}
	seal, err := cipher.NewGCM(block)
	return &Sessions{seal: seal, secret: derive(key, "secret"), source: source, now: now}, err
}

// derive returns a key for one purpose: HMAC-SHA256(key, purpose).
func derive(key []byte, purpose string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("batholith session " + purpose))
	return m.Sum(nil)
}

// ticket is the content of a session token, encrypted and authenticated. Groups are those of an assumed role; a
// session without a role takes its rights from the key From at each use.
type ticket struct {
	Key       string   `json:"k"` // access key id of the session
	Account   string   `json:"a"`
	Principal string   `json:"p"`
	Groups    []string `json:"g,omitempty"`
	Role      string   `json:"r,omitempty"` // ARN of the assumed role
	Source    string   `json:"s,omitempty"` // SourceIdentity
	From      string   `json:"f,omitempty"` // access key id that the session was made from, without a role
	Proof     string   `json:"h,omitempty"` // of the secret of that key
	Expires   int64    `json:"x"`           // seconds since 1970
}

// credentials are temporary keys.
type credentials struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      string
}

// issue returns temporary keys for a ticket. Nothing is stored: the token is
//
//	Base64(nonce, 12 bytes | AES-256-GCM(seal key, JSON of the ticket))
func (s *Sessions) issue(t ticket, lasts time.Duration) (credentials, error) {
	id := make([]byte, 10)
	rand.Read(id) // crypto/rand never returns an error
	t.Key = temporaryID + base32.StdEncoding.EncodeToString(id)
	expires := s.now().UTC().Truncate(time.Second).Add(lasts)
	t.Expires = expires.Unix()
	text, err := json.Marshal(t)
	if err != nil {
		return credentials{}, err
	}
	nonce := make([]byte, s.seal.NonceSize(), s.seal.NonceSize()+len(text)+s.seal.Overhead())
	rand.Read(nonce)
	return credentials{AccessKeyID: t.Key, SecretAccessKey: s.secretOf(t.Key), SessionToken: base64.StdEncoding.EncodeToString(s.seal.Seal(nonce, nonce, text, nil)),
		Expiration: expires.Format(time.RFC3339)}, nil
}

// secretOf returns the secret of a temporary key, 40 characters derived from its id and the key of sessions. So it
// need not be stored.
func (s *Sessions) secretOf(id string) string {
	return base64.StdEncoding.EncodeToString(derive(s.secret, id))[:40]
}

// proofOf identifies the secret of a permanent key without revealing it.
func (s *Sessions) proofOf(k sigv4.AccessKey) string {
	return hex.EncodeToString(derive(s.secret, k.ID+" "+k.Secret)[:16])
}

// Session returns the temporary key with this id and token. It returns sigv4.ErrNoSession for a token that was not
// issued here, belongs to another key, or whose role or key is gone, and sigv4.ErrExpired after its end. It implements
// sigv4.Sessions.
func (s *Sessions) Session(id, token string) (sigv4.AccessKey, error) {
	t, err := s.open(id, token)
	if err != nil {
		return sigv4.AccessKey{}, err
	}
	k := sigv4.AccessKey{ID: t.Key, Secret: s.secretOf(t.Key), SessionToken: token, Role: t.Role, From: t.From,
		Identity: sigv4.Identity{Account: t.Account, Principal: t.Principal, Groups: t.Groups}}
	switch from, ok := s.source.AccessKey(t.From); {
	case t.Role != "":
		if _, ok := s.source.Role(t.Role); !ok {
			return sigv4.AccessKey{}, sigv4.ErrNoSession
		}
	case !ok || !hmac.Equal([]byte(s.proofOf(from)), []byte(t.Proof)):
		return sigv4.AccessKey{}, sigv4.ErrNoSession
	default:
		k.Identity = from.Identity // as it is now
	}
	return k, nil
}

// open returns the ticket of a token. It returns sigv4.ErrNoSession for a token that was not issued here or
// belongs to another key, and sigv4.ErrExpired after its end.
func (s *Sessions) open(id, token string) (t ticket, err error) {
	sealed, err := base64.StdEncoding.Strict().DecodeString(token) // ignores line breaks
	if err != nil || strings.ContainsAny(token, "\r\n") || len(sealed) < s.seal.NonceSize() || !strings.HasPrefix(id, temporaryID) {
		return ticket{}, sigv4.ErrNoSession
	}
	text, err := s.seal.Open(nil, sealed[:s.seal.NonceSize()], sealed[s.seal.NonceSize():], nil)
	if err != nil || json.Unmarshal(text, &t) != nil || t.Key != id {
		return ticket{}, sigv4.ErrNoSession
	}
	if s.now().Unix() >= t.Expires {
		return ticket{}, sigv4.ErrExpired
	}
	return t, nil
}
