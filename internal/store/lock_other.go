//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package store

import "context"

// lockDir does nothing where folders cannot be locked: two processes must not be the first to open a file at the same time.
func lockDir(context.Context, string) (unlock func() error, err error) {
	return func() error { return nil }, nil
}
