//go:build unix

package system

import (
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
)

const (
	// FoldersSync reports whether a folder must, and can, be synced to make its names durable.
	FoldersSync = true
	// ModesTell reports whether the permission bits of a file tell who may open it.
	ModesTell = true
	// OpenNow is the flag with which the open of a named pipe returns at once.
	OpenNow = syscall.O_NONBLOCK
)

// Is reports whether an error has an error number.
func Is(err error, number syscall.Errno) bool { return errors.Is(err, number) }

// Owner returns the id of the user that owns a file.
func Owner(info fs.FileInfo) (uid int, ok bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(s.Uid), true
}

// Space returns the free and the total bytes of a folder's disk; false if the file system does not tell.
func Space(dir string) (free, whole uint64, ok bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, false
	}
	return uint64(s.Bavail) * uint64(s.Bsize), uint64(s.Blocks) * uint64(s.Bsize), true //nolint:unconvert // their types differ between systems
}

// FolderLock returns the path that is locked to lock a folder: the folder itself.
func FolderLock(dir string) (path string, flag int) { return dir, os.O_RDONLY }

// HolderOf returns the path of the file that has the process id of a lock's owner: the locked file itself.
func HolderOf(lock string) string { return lock }

// NotifyResize sends a signal to c when the terminal gets another size.
func NotifyResize(c chan<- os.Signal) { signal.Notify(c, syscall.SIGWINCH) }
