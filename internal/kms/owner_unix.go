//go:build unix

package kms

import (
	"os"
	"syscall"
)

// keepOwner gives the file name the owner and the group of another file. A rotation by root would else leave a key
// file that the service's user cannot read.
func keepOwner(name, of string) error {
	info, err := os.Stat(of)
	if err != nil {
		return err
	}
	made, err := os.Stat(name)
	if err != nil {
		return err
	}
	want, ok := info.Sys().(*syscall.Stat_t)
	have, ok2 := made.Sys().(*syscall.Stat_t)
	if !ok || !ok2 || want.Uid == have.Uid && want.Gid == have.Gid {
		return nil
	}
	if err := os.Chown(name, int(want.Uid), int(want.Gid)); err != nil && want.Uid != have.Uid {
		return err
	}
	return nil // without the group, which may not read the file anyway
}
