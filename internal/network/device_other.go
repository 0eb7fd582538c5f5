//go:build !linux

package network

import (
	"errors"
	"syscall"
)

// bindToDevice is not possible here; ParseInterface has refused the setting.
func bindToDevice(syscall.RawConn, string) error { return errors.ErrUnsupported }
