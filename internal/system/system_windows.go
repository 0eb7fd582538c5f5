package system

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/windows"
)

const (
	// FoldersSync reports whether a folder must, and can, be synced to make its names durable.
	FoldersSync = false
	// ModesTell reports whether the permission bits of a file tell who may open it.
	ModesTell = false
	// OpenNow is the flag with which the open of a named pipe returns at once. Pipes have a name space of their own here.
	OpenNow = 0
)

// numbers are those of Windows for the numbers of package syscall.
var numbers = map[syscall.Errno][]error{
	syscall.ECONNREFUSED:  {windows.WSAECONNREFUSED},
	syscall.ECONNRESET:    {windows.WSAECONNRESET, windows.WSAECONNABORTED},
	syscall.EPIPE:         {windows.WSAESHUTDOWN, windows.ERROR_BROKEN_PIPE, windows.ERROR_NO_DATA},
	syscall.EHOSTUNREACH:  {windows.WSAEHOSTUNREACH},
	syscall.ENETUNREACH:   {windows.WSAENETUNREACH},
	syscall.EADDRNOTAVAIL: {windows.WSAEADDRNOTAVAIL},
	syscall.EACCES:        {windows.WSAEACCES, windows.ERROR_ACCESS_DENIED},
	syscall.ENOSPC:        {windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL},
	syscall.EDQUOT:        {windows.ERROR_DISK_QUOTA_EXCEEDED},
	syscall.EROFS:         {windows.ERROR_WRITE_PROTECT},
	syscall.ENOTDIR:       {windows.ERROR_DIRECTORY, windows.ERROR_PATH_NOT_FOUND},
	syscall.ENAMETOOLONG:  {windows.ERROR_FILENAME_EXCED_RANGE, windows.ERROR_INVALID_NAME},
}

// Is reports whether an error has an error number, or Windows' own number for the same.
func Is(err error, number syscall.Errno) bool {
	if errors.Is(err, number) {
		return true
	}
	for _, n := range numbers[number] {
		if errors.Is(err, n) {
			return true
		}
	}
	return false
}

// Owner returns the id of the user that owns a file: users have no numbers here.
func Owner(fs.FileInfo) (uid int, ok bool) { return 0, false }

// Space returns the free and the total bytes of a folder's disk; false if the file system does not tell.
func Space(dir string) (free, whole uint64, ok bool) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, 0, false
	}
	err = windows.GetDiskFreeSpaceEx(name, &free, &whole, nil)
	return free, whole, err == nil
}

// FolderLock returns the path that is locked to lock a folder: a file in it.
func FolderLock(dir string) (path string, flag int) {
	return filepath.Join(dir, ".folder-lock"), os.O_CREATE | os.O_RDWR
}

// HolderOf returns the path of the file that has the process id of a lock's owner: a file beside the lock.
func HolderOf(lock string) string { return lock + ".pid" }

// NotifyResize does nothing: there is no such signal. A bar has its new width with its next line.
func NotifyResize(chan<- os.Signal) {}
