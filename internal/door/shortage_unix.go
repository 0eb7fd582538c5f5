//go:build unix

package door

import (
	"errors"
	"syscall"
)

// shortage reports whether an accept failed because file descriptors or kernel memory were
// exhausted, which is temporary.
func shortage(err error) bool {
	for _, code := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}
