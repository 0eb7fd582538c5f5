package network

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// bindToDevice makes a socket send and receive on one interface only (socket(7), SO_BINDTODEVICE).
func bindToDevice(c syscall.RawConn, name string) error {
	var err error
	if c := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), name) }); c != nil {
		return c
	}
	return err
}
