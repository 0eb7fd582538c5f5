//go:build unix

package door

import (
	"errors"
	"syscall"
)

// shortage tells whether an accept failed because descriptors or the kernel's memory ran out, which passes.
func shortage(err error) bool {
	for _, code := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}
