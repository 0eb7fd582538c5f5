package config

import (
	"fmt"

	"github.com/batholith/batholith/internal/kms"
)

// Ring opens the encryption keys.
func (c *Config) Ring() (*kms.Ring, error) { return kms.Open(c.Region, c.Account, c.KMS.List()) }

// List returns the keys as package kms takes them.
func (k KMS) List() []kms.Key {
	keys := make([]kms.Key, len(k.Keys))
	for i, key := range k.Keys {
		keys[i] = kms.Key(key)
	}
	return keys
}

// checkKMS opens each key, so that a key file that is missing or open to others is noticed
// before anything needs it.
func (l *loader) checkKMS() {
	before := len(l.problems)
	for i, key := range l.config.KMS.List() {
		at := fmt.Sprintf("kms.keys[%d]", i)
		switch {
		case key.ID != "" && !kms.ValidID(key.ID):
			l.bad(at+".id", "use letters, digits, dashes and underscores, at most 128", "%q is not the id of a key", key.ID)
		case key.File == "":
			l.bad(at+".file", "make a key with: batholith kms create FILE", "the key has no file")
		case key.Account != "" && !accountForm.MatchString(key.Account):
			l.bad(at+".account", "write twelve digits, quoted", "%q is not a valid account", key.Account)
		default:
			if _, err := kms.Open(l.config.Region, l.config.Account, []kms.Key{key}); err != nil {
				l.fault(at, err)
			}
		}
	}
	if len(l.problems) == before {
		ring, err := l.config.Ring()
		if err != nil {
			l.fault("kms.keys", err)
			return
		}
		if name := l.config.KMS.DataKey; name != "" {
			if _, err := ring.Find(name); err != nil {
				l.fault("kms.data_key", err)
			}
		}
	}
}
