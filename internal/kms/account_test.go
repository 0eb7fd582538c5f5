package kms

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// ofAccounts makes a key for each account, with the alias prompts, and returns their ring.
func ofAccounts(t *testing.T, ids map[string]string) *Ring {
	t.Helper()
	var keys []Key
	for account, id := range ids {
		path := filepath.Join(t.TempDir(), "k")
		if _, err := Create(path, id, noon); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, Key{Aliases: []string{"prompts"}, File: path, Account: account})
	}
	return opened(t, keys...)
}

func TestAnAccountFindsItsOwnKeysOnly(t *testing.T) {
	const own, other, none = "000000000000", "111111111111", "222222222222"
	r := ofAccounts(t, map[string]string{"": "k0", other: "k1"})
	for account, id := range map[string]string{own: "k0", other: "k1"} {
		arn := "arn:aws:kms:us-east-1:" + account + ":"
		for _, name := range []string{"", id, "alias/prompts", arn + "key/" + id, arn + "alias/prompts"} {
			if ref, err := r.FindFor(account, name); err != nil || ref != (Ref{id, arn + "key/" + id, account}) {
				t.Errorf("%s, %q: %+v, %v", account, name, ref, err)
			}
			for _, stranger := range []string{own, other, none} {
				if stranger == account || name == "" && stranger != none || name == "alias/prompts" && stranger != none {
					continue
				}
				_, err := r.FindFor(stranger, name)
				_, absent := r.FindFor(stranger, strings.ReplaceAll(name, id, "k9"))
				if !errors.Is(err, ErrNotFound) || strings.ReplaceAll(err.Error(), id, "k9") != absent.Error() {
					t.Errorf("%s, %q: %v; of a key that does not exist: %v", stranger, name, err, absent)
				}
			}
		}
		// The operator's commands reach every key, by its id and by its ARN.
		for _, name := range []string{id, arn + "key/" + id, arn + "alias/prompts"} {
			if ref, err := r.Find(name); err != nil || ref.ID != id || ref.Account != account {
				t.Errorf("%q: %+v, %v", name, ref, err)
			}
		}
		if ref, ok := r.ByID(id); !ok || ref.Account != account {
			t.Errorf("%s: %+v, %v", id, ref, ok)
		}
	}
	if ref, err := r.Find("alias/prompts"); err != nil || ref.ID != "k0" {
		t.Error(ref, err)
	}
}

// Encrypted data names its key by id only, so two accounts cannot have keys of one id.
func TestAnIDIsUniqueInAllAccounts(t *testing.T) {
	var keys []Key
	for _, account := range []string{"", "111111111111"} {
		path := filepath.Join(t.TempDir(), "k")
		if _, err := Create(path, "k0", noon); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, Key{File: path, Account: account})
	}
	if _, err := Open("us-east-1", "000000000000", keys); !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), "k0") {
		t.Error(err)
	}
}
