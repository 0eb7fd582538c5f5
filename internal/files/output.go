package files

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/blob"
	"github.com/batholith/batholith/internal/system"
)

// scratch is the folder of unfinished files and uploads. It is inside the directory, so that a rename publishes a file.
const (
	ours    = batholith.InternalFolder
	scratch = ours + "/files"
)

// Output is a bucket in a directory. It is safe for concurrent use by one process.
type Output struct {
	dir  string
	root *os.Root
	mask fs.FileMode // permission bits that no file and no directory gets

	ending [16]sync.Mutex // by hash of the upload: completions and aborts of one upload run one after the other

	// dirs is locked for writing while empty directories are removed, and for reading while one is made and filled.
	dirs sync.RWMutex

	mu       sync.Mutex
	last     time.Time         // modification time of the latest file; each file gets a later one, so that no two ETags are equal
	complete map[string]string // upload id → ETag of its object, for the last maxComplete uploads
	order    []string          // keys of complete, oldest first
}

var _ blob.Bucket = (*Output)(nil)

// NewOutput opens a directory, and makes it if it does not exist. Files in it are objects.
func NewOutput(dir string) (*Output, error) { return newOutput(dir, 0) }

// NewPrivateOutput is NewOutput with permissions for the owner only, for the directory and everything made in it, with any umask.
func NewPrivateOutput(dir string) (*Output, error) { return newOutput(dir, 0o077) }

// newOutput opens a directory whose files and folders get no bits of mask.
func newOutput(dir string, mask fs.FileMode) (*Output, error) {
	if err := os.MkdirAll(dir, 0o777&^mask); err != nil {
		return nil, fmt.Errorf("make the output directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the output directory: %w", err)
	}
	return &Output{dir: dir, root: root, mask: mask, complete: map[string]string{}}, nil
}

// Close closes the directory.
func (o *Output) Close() error { return o.root.Close() }

// Name is "output".
func (o *Output) Name() string { return "output" }

// URI is the file:// URI of a key, whether the file exists or not.
func (o *Output) URI(key string) string {
	return fileURI(filepath.Join(o.dir, filepath.FromSlash(key)))
}

// fileURI is the URI of the absolute path. If the working directory does not exist any more, the path stays relative.
func fileURI(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		path = full
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()
}

// check returns an error for a key that is no clean path inside the directory, or is inside scratch.
func check(ctx context.Context, verb, key string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !clean(key) || key == scratch || strings.HasPrefix(key, scratch+"/") {
		return fmt.Errorf("%s %q: %w: not a path inside the output directory", verb, key, batholith.ErrAccessDenied)
	}
	return nil
}

// List yields the files whose key begins with prefix, in byte order of the keys. It reads each directory when it
// reaches it; files that are removed meanwhile are left out.
func (o *Output) List(ctx context.Context, prefix string) iter.Seq2[batholith.Object, error] {
	return func(yield func(batholith.Object, error) bool) {
		if err := o.walk(ctx, ".", prefix, yield); err != nil && !errors.Is(err, fs.SkipAll) {
			yield(batholith.Object{}, fmt.Errorf("list %s: %w", path.Join(o.dir, prefix), err))
		}
	}
}

// walk yields the files of a directory. It returns fs.SkipAll if the caller stops.
func (o *Output) walk(ctx context.Context, dir, prefix string, yield func(batholith.Object, error) bool) error {
	entries, err := fs.ReadDir(o.root.FS(), dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(sortName(a), sortName(b)) })
	for _, e := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := o.visit(ctx, path.Join(dir, e.Name()), e, prefix, yield); err != nil {
			return err
		}
	}
	return nil
}

// sortName makes a directory sort like the keys in it: "a-", "a/b", "a0".
func sortName(e fs.DirEntry) string {
	if e.IsDir() {
		return e.Name() + "/"
	}
	return e.Name()
}

// visit yields one entry of a directory, or walks it.
func (o *Output) visit(ctx context.Context, key string, e fs.DirEntry, prefix string, yield func(batholith.Object, error) bool) error {
	if e.IsDir() {
		below := key + "/"
		if key == scratch || !strings.HasPrefix(below, prefix) && !strings.HasPrefix(prefix, below) {
			return nil
		}
		return o.walk(ctx, key, prefix, yield)
	}
	if !strings.HasPrefix(key, prefix) {
		return nil
	}
	info, err := o.root.Stat(key)
	if err != nil || !info.Mode().IsRegular() {
		return nil // removed meanwhile, or no regular file inside: a socket, a link to the outside
	}
	if !yield(object(info, key), nil) {
		return fs.SkipAll
	}
	return nil
}

// Head describes one file.
func (o *Output) Head(ctx context.Context, key string) (batholith.Object, error) {
	f, err := o.open(ctx, "find", key)
	if err != nil {
		return batholith.Object{}, err
	}
	defer f.Close()
	return describe(f, key)
}

// Read opens a range of a file (see blob.Bucket).
func (o *Output) Read(ctx context.Context, key, etag string, offset, n int64) (io.ReadCloser, error) {
	if n == 0 {
		return io.NopCloser(strings.NewReader("")), nil
	}
	f, err := o.open(ctx, "read", key)
	if err != nil {
		return nil, err
	}
	return newReader(ctx, f, key, etag, offset, n)
}

// open opens the file of a key. verb is for the error.
func (o *Output) open(ctx context.Context, verb, key string) (*os.File, error) {
	if err := check(ctx, verb, key); err != nil {
		return nil, err
	}
	f, err := regular(o.root.OpenFile(key, readNow, 0))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", verb, key, mapped(err))
	}
	return f, nil
}

// Put writes a whole file and replaces an existing one.
func (o *Output) Put(ctx context.Context, key string, body []byte) error {
	if err := check(ctx, "write", key); err != nil {
		return err
	}
	tmp, err := o.write(scratch+"/put-"+rand.Text(), func(f *os.File) error {
		_, err := f.Write(body)
		return err
	})
	if err == nil {
		err = o.publish(tmp, key)
	}
	if system.Is(err, syscall.ENAMETOOLONG) {
		err = mapped(err)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}

// write makes a file in scratch, fills it and syncs it. After an error it leaves no file.
func (o *Output) write(name string, fill func(*os.File) error) (string, error) {
	f, err := o.create(name)
	if err != nil {
		return "", err
	}
	if err = fill(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		o.root.Remove(name)
		return "", err
	}
	return name, nil
}

// create makes a file and its directories.
func (o *Output) create(name string) (*os.File, error) {
	o.dirs.RLock()
	defer o.dirs.RUnlock()
	if err := o.root.MkdirAll(path.Dir(name), 0o777&^o.mask); err != nil {
		return nil, err
	}
	return o.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666&^o.mask)
}

// rename moves a file to its key, whose directories it makes.
func (o *Output) rename(tmp, key string) error {
	o.dirs.RLock()
	defer o.dirs.RUnlock()
	if err := o.root.MkdirAll(path.Dir(key), 0o777&^o.mask); err != nil {
		return err
	}
	return o.root.Rename(tmp, key)
}

// publish renames a synced file to its key, and syncs the directories above it.
func (o *Output) publish(tmp, key string) error {
	err := o.root.Chtimes(tmp, time.Time{}, o.tick())
	if err == nil {
		err = o.rename(tmp, key)
	}
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.EEXIST) {
		err = fmt.Errorf("a file system cannot hold both a file and files below it: %w", err)
	}
	if err != nil {
		o.root.Remove(tmp)
		return err
	}
	return o.syncUp(path.Dir(key))
}

// tick is now, or a little later if needed: later than the time of every file before.
func (o *Output) tick() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if !now.After(o.last) {
		now = o.last.Add(time.Microsecond)
	}
	o.last = now
	return now
}

// syncUp syncs a directory and all directories above it.
func (o *Output) syncUp(dir string) error {
	for {
		if err := o.syncDir(dir); err != nil {
			return err
		}
		if dir == "." {
			return nil
		}
		dir = path.Dir(dir)
	}
}

// syncDir makes a directory's names durable, if the system can sync directories. A directory that does not exist is no error.
func (o *Output) syncDir(dir string) error {
	if !system.FoldersSync {
		return nil
	}
	f, err := o.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// Delete removes files, and directories that become empty. A missing file is no error.
func (o *Output) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := check(ctx, "delete", key); err != nil {
			return err
		}
		if err := o.remove(key); err != nil {
			return fmt.Errorf("delete %s: %w", key, err)
		}
	}
	return nil
}

// remove removes one file.
func (o *Output) remove(key string) error {
	info, err := o.root.Lstat(key)
	if errors.Is(err, fs.ErrNotExist) || system.Is(err, syscall.ENOTDIR) || err == nil && info.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	if err := o.root.Remove(key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return o.syncUp(o.prune(path.Dir(key)))
}

// prune removes empty directories upwards, and returns the first one that is not empty.
func (o *Output) prune(dir string) string {
	o.dirs.Lock()
	defer o.dirs.Unlock()
	for dir != "." && o.root.Remove(dir) == nil {
		dir = path.Dir(dir)
	}
	return dir
}
