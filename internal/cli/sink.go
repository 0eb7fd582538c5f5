package cli

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/batholith/batholith/internal/files"
)

// sink is where a command writes data: stdout, or a file that gets its name when it is whole.
type sink struct {
	io.Writer
	file *os.File // nil: stdout
	zip  *gzip.Writer
	path string
	mode fs.FileMode
}

// openSink returns a sink for the file of the flag -o; "" and - are stdout. Data on stdout is written as it is, except on a terminal.
func (a *app) openSink(path string) (*sink, error) {
	if path == "" || path == "-" {
		return &sink{Writer: a.data()}, nil
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		if info.IsDir() {
			return nil, &usageError{reason: fmt.Sprintf("-o: %s is a directory", path), remedy: "name a file in it"}
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0) // a device or a pipe is written as it is
		if err != nil {
			return nil, files.PathAndReason(err)
		}
		return &sink{Writer: f, file: f}, nil
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(path); err == nil { // it is replaced: its mode stays, and a link leads to the new content
		mode = info.Mode().Perm()
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return nil, files.PathAndReason(err)
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".batholith-*")
	if err != nil {
		var why *fs.PathError
		if errors.As(err, &why) {
			err = why.Err
		}
		return nil, hint(fmt.Errorf("-o: %s cannot be written: %w", path, err), "name a file in a folder that exists and that you may write to")
	}
	s := &sink{Writer: f, file: f, path: path, mode: mode}
	if strings.EqualFold(filepath.Ext(path), ".gz") {
		s.zip = gzip.NewWriter(f)
		s.Writer = s.zip
	}
	return s, nil
}

// checkSink reports early that a file of the flag -o cannot be written.
func (a *app) checkSink(path string) error {
	if info, err := os.Stat(path); path == "" || path == "-" || err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return nil
	}
	s, err := a.openSink(path)
	if err == nil {
		s.discard()
	}
	return err
}

// data returns the stream for data on stdout.
func (a *app) data() io.Writer {
	if a.raw == nil || a.paged {
		return a.stdout
	}
	return a.raw
}

// commit ends the file and gives it its name. It replaces a file of that name.
func (s *sink) commit() error {
	if s.file == nil {
		return nil
	}
	var err error
	if s.zip != nil {
		err = s.zip.Close()
	}
	if s.path != "" && err == nil {
		err = s.file.Chmod(s.mode)
	}
	err = errors.Join(err, s.file.Close())
	if err == nil && s.path != "" {
		err = os.Rename(s.file.Name(), s.path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", s.path, files.PathAndReason(err))
	}
	s.file = nil
	return nil
}

// discard removes a file that was not committed.
func (s *sink) discard() {
	if s.file == nil {
		return
	}
	s.file.Close()
	if s.path != "" {
		os.Remove(s.file.Name())
	}
	s.file = nil
}

// sameFile reports whether two paths are one file.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	y, other := os.Stat(b)
	return err == nil && other == nil && os.SameFile(x, y)
}

// openPlain opens a regular file or a pipe, such as that of <(command).
func openPlain(path, remedy string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, hint(files.PathAndReason(err), "%s", remedy)
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, hint(fmt.Errorf("%s is a directory", path), "%s", remedy)
	}
	return f, nil
}
