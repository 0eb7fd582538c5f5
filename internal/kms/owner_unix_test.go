//go:build unix

package kms

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Root rotates the key of the service's user. Another user can test only that the own file stays its own.
func TestARotatedFileKeepsItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k")
	if _, err := Create(path, "k1", noon); err != nil {
		t.Fatal(err)
	}
	uid, gid := os.Geteuid(), os.Getegid()
	if uid == 0 {
		uid, gid = 12345, 23456
	}
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
	if _, err := Rotate(path, noon); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if is := info.Sys().(*syscall.Stat_t); int(is.Uid) != uid || int(is.Gid) != gid || info.Mode().Perm() != 0o600 {
		t.Errorf("the file belongs to %d:%d (mode %o), want %d:%d", is.Uid, is.Gid, info.Mode().Perm(), uid, gid)
	}
}
