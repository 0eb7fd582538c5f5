package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/system"
)

// mapped adds Batholith's error to one of the file system: ErrNoObject, ErrRefused or ErrAccessDenied.
func mapped(err error) error {
	switch {
	case errors.Is(err, batholith.ErrNoObject):
		return err
	case errors.Is(err, fs.ErrNotExist), system.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w (%w)", batholith.ErrNoObject, err)
	case system.Is(err, syscall.ENAMETOOLONG):
		return fmt.Errorf("%w (%w)", batholith.ErrRefused, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w (%w)", batholith.ErrAccessDenied, err)
	}
	return err
}

// describe describes an open file.
func describe(f *os.File, key string) (batholith.Object, error) {
	info, err := f.Stat()
	if err != nil {
		return batholith.Object{}, fmt.Errorf("find %s: %w", key, err)
	}
	return object(info, key), nil
}

// object is a file as an object.
func object(info fs.FileInfo, key string) batholith.Object {
	return batholith.Object{Key: key, Bytes: info.Size(), ETag: etagOf(info), Modified: info.ModTime()}
}

// etagOf is the ETag of a file: size, modification time in nanoseconds, inode.
func etagOf(info fs.FileInfo) string {
	return fmt.Sprintf("%x-%x-%x", info.Size(), info.ModTime().UnixNano(), inode(info))
}

// reader reads a range. It returns an error if there are fewer bytes, or if the file changes meanwhile.
type reader struct {
	ctx  context.Context
	f    *os.File
	key  string
	etag string
	at   int64
	end  int64
}

// newReader makes a reader, which owns f. After an error f is closed.
func newReader(ctx context.Context, f *os.File, key, etag string, offset, n int64) (io.ReadCloser, error) {
	info, err := describe(f, key)
	switch {
	case err != nil:
	case etag != "" && etag != info.ETag:
		err = fmt.Errorf("read %s: %w", key, batholith.ErrObjectChanged)
	case offset > info.Bytes, n > 0 && offset+n > info.Bytes:
		err = fmt.Errorf("read %s: it has only %d bytes: %w", key, info.Bytes, io.ErrUnexpectedEOF)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	end := info.Bytes
	if n > 0 {
		end = offset + n
	}
	return &reader{ctx: ctx, f: f, key: key, etag: info.ETag, at: offset, end: end}, nil
}

// Read implements [io.Reader].
func (r *reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	if r.at == r.end {
		return 0, r.unchanged()
	}
	n, err := r.f.ReadAt(p[:min(int64(len(p)), r.end-r.at)], r.at)
	r.at += int64(n)
	switch {
	case n > 0:
		return n, nil
	case err == io.EOF: // the file was truncated
		err = io.ErrUnexpectedEOF
	}
	return 0, fmt.Errorf("read %s: %w", r.key, err)
}

// unchanged returns io.EOF if the file was not changed since it was opened, else batholith.ErrObjectChanged.
func (r *reader) unchanged() error {
	info, err := describe(r.f, r.key)
	if err != nil {
		return err
	}
	if info.ETag != r.etag {
		return fmt.Errorf("read %s: %w", r.key, batholith.ErrObjectChanged)
	}
	return io.EOF
}

// Close closes the file.
func (r *reader) Close() error { return r.f.Close() }

// clean reports whether a key is a path below a directory in its shortest form, without "..".
func clean(key string) bool { return fs.ValidPath(key) && key != "." && !strings.ContainsRune(key, 0) }
