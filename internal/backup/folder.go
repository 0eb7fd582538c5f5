package backup

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"github.com/batholith/batholith/internal/files"
)

// folder is a folder of backups that this process has locked.
type folder struct {
	dir  string
	lock *flock.Flock
}

// NoBackupError says that a folder holds no backups.
type NoBackupError struct {
	Dir   string
	Other bool // it holds something else
}

// Error names the folder.
func (e *NoBackupError) Error() string {
	if e.Other {
		return fmt.Sprintf("%s is not a folder of backups, and not empty", e.Dir)
	}
	return fmt.Sprintf("there is no backup in %s", e.Dir)
}

// BusyError says that another process writes a backup into the folder.
type BusyError struct{ Dir string }

// Error names the folder.
func (e *BusyError) Error() string {
	return fmt.Sprintf("another process writes a backup into %s at the moment", e.Dir)
}

// openFolder opens a folder of backups, or makes it if it is empty or does not exist.
func openFolder(dir string) (*folder, error) {
	err := isFolder(dir)
	none, missing := errors.AsType[*NoBackupError](err)
	switch {
	case missing && none.Other:
		return nil, err
	case missing:
		for _, name := range []string{dir, filepath.Join(dir, contentsName), filepath.Join(dir, snapshotsName)} {
			if err := os.MkdirAll(name, 0o700); err != nil {
				return nil, fmt.Errorf("make the folder of backups: %w", err)
			}
		}
		if err := files.WriteFile(filepath.Join(dir, markName), fmt.Appendf(nil, "batholith-backup %d\n", version), 0o600); err != nil {
			return nil, fmt.Errorf("make the folder of backups: %w", err)
		}
	case err != nil:
		return nil, err
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	free, err := lock.TryLock()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock the folder of backups: %w", err), lock.Close())
	}
	if !free {
		return nil, errors.Join(&BusyError{Dir: dir}, lock.Close())
	}
	return &folder{dir: dir, lock: lock}, nil
}

// isFolder returns a [*NoBackupError] if dir is no folder of backups.
func isFolder(dir string) error {
	mark, err := os.ReadFile(filepath.Join(dir, markName))
	if err == nil {
		var v int
		if _, err := fmt.Sscanf(string(mark), "batholith-backup %d", &v); err != nil || v < 1 || v > version {
			return fmt.Errorf("the backups in %s have a format that this program does not know: use a newer batholith", dir)
		}
		return nil
	}
	all, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open the folder of backups: %w", err)
	}
	for _, f := range all { // what a process that made the folder may have left
		if name := f.Name(); name != contentsName && name != snapshotsName && name != markName+".new" {
			return &NoBackupError{Dir: dir, Other: true}
		}
	}
	return &NoBackupError{Dir: dir}
}

// Close releases the lock.
func (f *folder) Close() error { return f.lock.Close() }

// contentPath is the path of a content.
func contentPath(dir, sum string) string {
	return filepath.Join(dir, contentsName, sum[:2], sum)
}

// has reports whether a content is there, by its length.
func (f *folder) has(sum string, bytes int64) bool {
	info, err := os.Stat(contentPath(f.dir, sum))
	return err == nil && info.Size() == bytes
}

// put stores a content, unless it is there. It returns its sum and length, and how many bytes were new.
func (f *folder) put(r io.Reader) (sum string, bytes, fresh int64, err error) {
	temp := filepath.Join(f.dir, contentsName, "new-"+rand.Text())
	out, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", 0, 0, err
	}
	hash := sha256.New()
	bytes, err = io.Copy(io.MultiWriter(out, hash), r)
	sum = hex.EncodeToString(hash.Sum(nil))
	if err == nil && f.has(sum, bytes) {
		return sum, bytes, 0, errors.Join(out.Close(), os.Remove(temp))
	}
	if err = errors.Join(err, out.Sync(), out.Close()); err == nil {
		path := contentPath(f.dir, sum)
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
			err = os.Rename(temp, path)
		}
	}
	if err != nil {
		return "", 0, 0, errors.Join(err, os.Remove(temp))
	}
	return sum, bytes, bytes, nil
}

// settle makes the names of all contents durable.
func (f *folder) settle() error {
	dirs, err := os.ReadDir(filepath.Join(f.dir, contentsName))
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if d.IsDir() {
			err = errors.Join(err, files.SyncDir(filepath.Join(f.dir, contentsName, d.Name())))
		}
	}
	return errors.Join(err, files.SyncDir(filepath.Join(f.dir, contentsName)))
}

// prune deletes all snapshots but the latest n, and the contents that no snapshot names. n is at least 1.
func (f *folder) prune(n int) (deleted int, err error) {
	ids, err := list(f.dir)
	if err != nil || len(ids) <= n {
		return 0, err
	}
	used := map[string]bool{}
	for _, id := range ids[len(ids)-n:] {
		s, err := read(f.dir, id)
		if err != nil { // what it needs is not known: delete nothing
			return 0, err
		}
		for _, e := range s.Entries {
			used[e.Sum] = true
		}
	}
	for _, id := range ids[:len(ids)-n] {
		if err := os.Remove(filepath.Join(f.dir, snapshotsName, id+listExt)); err != nil {
			return deleted, err
		}
		deleted++
	}
	if err := files.SyncDir(filepath.Join(f.dir, snapshotsName)); err != nil { // before a content of theirs is deleted
		return deleted, err
	}
	return deleted, f.eachContent(func(path, sum string) error {
		if used[sum] {
			return nil
		}
		return os.Remove(path)
	})
}

// eachContent calls do for every file of contents. Those that a process was writing when it died have no sum for a name.
func (f *folder) eachContent(do func(path, name string) error) error {
	return filepath.WalkDir(filepath.Join(f.dir, contentsName), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return do(path, d.Name())
	})
}

// sweep deletes what processes that died were writing.
func (f *folder) sweep() error {
	return f.eachContent(func(path, name string) error {
		if strings.HasPrefix(name, "new-") {
			return os.Remove(path)
		}
		return nil
	})
}
