package files

import (
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/system"
)

// NotAFileError says that a path is no regular file.
type NotAFileError struct {
	Path string
	Kind string // a named pipe, a socket, a device, a directory
}

// Error names the path and its kind.
func (e *NotAFileError) Error() string {
	return fmt.Sprintf("%s is %s, and only regular files can be read", e.Path, e.Kind)
}

// Unwrap returns batholith.ErrNoObject: for a reader of the bucket there is no such object.
func (e *NotAFileError) Unwrap() error { return batholith.ErrNoObject }

// Regular returns nil for a regular file, else a [*NotAFileError].
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

// Open opens a regular file for reading. It never blocks, while a plain open of a named pipe waits for a writer. For any other kind of file
// it returns a [*NotAFileError], also if the path was replaced a moment before.
func Open(path string) (*os.File, error) {
	info, err := os.Stat(path) // check before opening: to open some devices has side effects
	if err == nil {
		err = Regular(path, info)
	}
	if err != nil {
		return nil, err
	}
	return regular(os.OpenFile(path, readNow, 0))
}

// ReadFile reads a regular file. Like Open it never blocks.
func ReadFile(path string) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// readNow are the flags to open for reading, so that the open of a named pipe returns at once.
const readNow = os.O_RDONLY | system.OpenNow

// regular returns f if it is a regular file. Otherwise it closes f and returns an error.
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
