package files

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/batholith/batholith"
)

// NotAFileError says that a path names something else than a regular file.
type NotAFileError struct {
	Path string
	Kind string // a named pipe, a socket, a device, a directory
}

func (e *NotAFileError) Error() string {
	return fmt.Sprintf("%s is %s, and only regular files can be read", e.Path, e.Kind)
}

// Unwrap makes it batholith.ErrNoObject for those who read a bucket: no object has this name.
func (e *NotAFileError) Unwrap() error { return batholith.ErrNoObject }

// Regular returns a [*NotAFileError] when info describes something else than a regular file.
func Regular(path string, info fs.FileInfo) error {
	mode := info.Mode()
	if mode.IsRegular() {
		return nil
	}
	kind := "no regular file"
	switch {
	case mode.IsDir():
		kind = "a directory"
	case mode&fs.ModeNamedPipe != 0:
		kind = "a named pipe"
	case mode&fs.ModeSocket != 0:
		kind = "a socket"
	case mode&fs.ModeDevice != 0:
		kind = "a device"
	}
	return &NotAFileError{Path: path, Kind: kind}
}

// Open opens a regular file for reading. It never waits: the open of a named pipe would wait for a writer. A path that names something
// else is a [*NotAFileError], also when it was a file a moment before.
func Open(path string) (*os.File, error) {
	info, err := os.Stat(path) // the open alone has effects on some devices
	if err == nil {
		err = Regular(path, info)
	}
	if err != nil {
		return nil, err
	}
	return regular(os.OpenFile(path, readNow, 0))
}

// ReadFile reads a regular file. Like Open it never waits.
func ReadFile(path string) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// readNow opens for reading. The open of a named pipe returns at once.
const readNow = os.O_RDONLY | syscall.O_NONBLOCK

// regular returns f when it is a regular file, and closes it otherwise.
func regular(f *os.File, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = Regular(f.Name(), info)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
