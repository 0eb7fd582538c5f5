package config

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/batholith/batholith/internal/files"
)

// AdminPrincipal is the principal of the first access key.
const AdminPrincipal = "admin"

// Key is an access key id with its secret.
type Key struct {
	ID, Secret string
}

// AdminKey returns the access key of the data directory. It creates the key if there is none;
// made reports that. After a crash during the creation there is no key, and the next start
// creates one.
func (d *Data) AdminKey() (key Key, made bool, err error) {
	key, err = ReadKey(d.Dir)
	if !errors.Is(err, os.ErrNotExist) {
		return key, false, err
	}
	key = NewKey()
	if err := WriteKey(d.Dir, key); err != nil {
		return Key{}, false, err
	}
	return key, true, nil
}

// WriteKey makes key the access key of a data directory.
func WriteKey(dir string, key Key) error {
	text := fmt.Sprintf("# The admin key of this Batholith, in the form that AWS_SHARED_CREDENTIALS_FILE takes. Keep it to yourself.\n"+
		"[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", key.ID, key.Secret)
	if there, err := files.ReadFile(filepath.Join(dir, keyFile)); err == nil && string(there) == text {
		return nil
	}
	if err := files.WriteFile(filepath.Join(dir, keyFile), []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the first access key: %w", err)
	}
	return nil
}

// NewKey generates a key in Amazon's format: an id of 20 upper-case letters and digits, and a
// secret of 40 characters.
func NewKey() Key {
	id, secret := make([]byte, 10), make([]byte, 30)
	rand.Read(id) // crypto/rand never returns an error
	rand.Read(secret)
	return Key{ID: "AKBA" + base32.StdEncoding.EncodeToString(id), Secret: base64.RawURLEncoding.EncodeToString(secret)}
}

// ReadKey reads the access key of a data directory. It returns os.ErrNotExist if there is none.
func ReadKey(dir string) (Key, error) {
	path := filepath.Join(dir, keyFile)
	text, err := files.ReadFile(path)
	if err != nil {
		return Key{}, err
	}
	var key Key
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, "=")
		switch strings.TrimSpace(name) {
		case "aws_access_key_id":
			key.ID = strings.TrimSpace(value)
		case "aws_secret_access_key":
			key.Secret = strings.TrimSpace(value)
		}
	}
	if key.ID == "" || key.Secret == "" {
		return Key{}, fmt.Errorf("%s holds no access key; remove the file to have a new one made", path)
	}
	return key, nil
}

// sessionKeyFile holds the key that seals the session tokens of temporary keys.
const sessionKeyFile = "sessions.key"

// SessionKey returns the 32 bytes of the key that seals session tokens. It makes the key if there is none. If the file
// is deleted, all sessions end.
func SessionKey(dir string) ([]byte, error) {
	path := filepath.Join(dir, sessionKeyFile)
	text, err := files.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		key := make([]byte, 32)
		rand.Read(key)
		text = []byte(base64.StdEncoding.EncodeToString(key) + "\n")
		err = files.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("open the key of sessions: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != 32 {
		return nil, fmt.Errorf("%s does not hold a key; remove the file to have a new one made, which ends all sessions", path)
	}
	return key, nil
}

// HasSessionKey reports whether the data directory has a key of sessions.
func HasSessionKey(dir string) bool { return there(filepath.Join(dir, sessionKeyFile)) }
