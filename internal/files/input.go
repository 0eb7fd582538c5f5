package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
)

// Input is a read-only bucket of named files. Every call that would change it returns batholith.ErrAccessDenied.
type Input struct {
	paths map[string]string // by key
	keys  []string          // sorted
}

var _ blob.Bucket = (*Input)(nil)

// NewInput makes an input from paths by key. It does not check that the files exist.
func NewInput(paths map[string]string) *Input {
	return &Input{paths: maps.Clone(paths), keys: slices.Sorted(maps.Keys(paths))}
}

// Name is "input".
func (in *Input) Name() string { return "input" }

// URI is the file:// URI of a file.
func (in *Input) URI(key string) string { return fileURI(in.paths[key]) }

// List yields the files with a prefix. A missing file is an error, since a user has named it.
func (in *Input) List(ctx context.Context, prefix string) iter.Seq2[batholith.Object, error] {
	return func(yield func(batholith.Object, error) bool) {
		for _, key := range in.keys {
			if !strings.HasPrefix(key, prefix) {
				continue
			}
			info, err := in.Head(ctx, key)
			if !yield(info, err) || err != nil {
				return
			}
		}
	}
}

// Head describes one file.
func (in *Input) Head(ctx context.Context, key string) (batholith.Object, error) {
	f, err := in.open(ctx, "find", key)
	if err != nil {
		return batholith.Object{}, err
	}
	defer f.Close()
	return describe(f, key)
}

// Read opens a range of a file (see blob.Bucket).
func (in *Input) Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error) {
	if n == 0 {
		return io.NopCloser(strings.NewReader("")), nil
	}
	f, err := in.open(ctx, "read", key)
	if err != nil {
		return nil, err
	}
	return newReader(ctx, f, in.paths[key], etag, offset, n) // people know the path
}

// open opens the file of a key. verb is for the error.
func (in *Input) open(ctx context.Context, verb, key string) (*os.File, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	path, ok := in.paths[key]
	if !ok {
		return nil, fmt.Errorf("%s %s: %w", verb, key, batholith.ErrNoObject)
	}
	f, err := Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", verb, key, mapped(err))
	}
	return f, nil
}

// deny is the error of every call that would change the input.
func (in *Input) deny(verb, key string) error {
	return fmt.Errorf("%s %s: %w: the input is only read", verb, key, batholith.ErrAccessDenied)
}

// Put is denied.
func (in *Input) Put(_ context.Context, key string, _ []byte) error { return in.deny("write", key) }

// Delete is denied, unless there is nothing to delete.
func (in *Input) Delete(_ context.Context, keys ...string) error {
	var errs []error
	for _, key := range keys {
		errs = append(errs, in.deny("delete", key))
	}
	return errors.Join(errs...)
}

// CreateUpload is denied.
func (in *Input) CreateUpload(_ context.Context, key string) (string, error) {
	return "", in.deny("begin upload of", key)
}

// UploadPart is denied.
func (in *Input) UploadPart(_ context.Context, key, _ string, _ int, _ []byte) (string, error) {
	return "", in.deny("upload part of", key)
}

// CompleteUpload is denied.
func (in *Input) CompleteUpload(_ context.Context, key, _ string, _ []string) error {
	return in.deny("complete upload of", key)
}

// AbortUpload does nothing, since there are no uploads.
func (in *Input) AbortUpload(context.Context, string, string) error { return nil }

// ListUploads yields nothing.
func (in *Input) ListUploads(context.Context, string) iter.Seq2[batholith.Upload, error] {
	return func(func(batholith.Upload, error) bool) {}
}
