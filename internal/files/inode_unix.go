//go:build unix

package files

import (
	"io/fs"
	"syscall"
)

// inode is the number of a file. A file that replaces another has a different number.
func inode(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Ino)
	}
	return 0
}
