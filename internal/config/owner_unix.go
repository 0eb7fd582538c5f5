package config

import (
	"io/fs"
	"syscall"
)

// ownerOf returns the id of the user that owns a file.
func ownerOf(info fs.FileInfo) (uid int, ok bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(s.Uid), true
}
