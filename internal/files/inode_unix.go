//go:build unix

package files

import (
	"io/fs"
	"syscall"
)

// inode is the number of the file behind a name; a replaced file has another.
func inode(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Ino)
	}
	return 0
}
