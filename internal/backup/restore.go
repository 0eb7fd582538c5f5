package backup

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/store"
)

// Restored is what [Restore] has made.
type Restored struct {
	Snapshot *Snapshot
	Data     string // the new data directory
	Settings string // the folder in it with the settings and the files that they name; "": none
	Jobs     store.Revived
}

// TakenError says that the target of a restoration is not empty.
type TakenError struct{ Dir string }

// Error names the folder.
func (e *TakenError) Error() string { return fmt.Sprintf("%s exists and is not empty", e.Dir) }

// Restore makes a data directory of a snapshot; an empty id names the latest. Everything is written and checked beside the target, which
// appears at once when all is on the disk. A restoration that was cut off leaves a folder TARGET.restoring-….
//
// The worker of the new directory gets another name, so that it is told apart from that of the old one, and every unfinished job
// is marked: it is compared with its bucket before a record is sent.
func Restore(ctx context.Context, dir, id, target string) (r Restored, err error) {
	if r.Data, err = filepath.Abs(target); err != nil {
		return r, err
	}
	if r.Snapshot, err = pick(dir, id); err != nil {
		return r, err
	}
	if err := vacant(r.Data); err != nil {
		return r, err
	}
	if err := os.MkdirAll(filepath.Dir(r.Data), 0o755); err != nil { //nolint:gosec // the folder above is not ours
		return r, err
	}
	temp, err := os.MkdirTemp(filepath.Dir(r.Data), filepath.Base(r.Data)+".restoring-")
	if err != nil {
		return r, err
	}
	if err = fill(ctx, dir, temp, &r); err != nil {
		return r, errors.Join(fmt.Errorf("restore the backup %s: %w", r.Snapshot.ID, err), os.RemoveAll(temp))
	}
	failpoint.Here("backup.restored")
	if err := os.Rename(temp, r.Data); err != nil { // over an empty folder, or none
		return r, errors.Join(err, os.RemoveAll(temp))
	}
	return r, files.SyncDir(filepath.Dir(r.Data))
}

// pick reads a snapshot; an empty id names the latest.
func pick(dir, id string) (*Snapshot, error) {
	if err := isFolder(dir); err != nil {
		return nil, err
	}
	ids, err := list(dir)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, &NoBackupError{Dir: dir}
	}
	if id == "" {
		id = ids[len(ids)-1]
	}
	if !slices.Contains(ids, id) {
		return nil, fmt.Errorf("there is no backup %s in %s; there are %s", id, dir, strings.Join(ids, ", "))
	}
	return read(dir, id)
}

// vacant returns a [*TakenError] if something is in a folder.
func vacant(dir string) error {
	all, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(all) > 0:
		return &TakenError{Dir: dir}
	}
	return nil
}

// fill writes a snapshot into an empty folder.
func fill(ctx context.Context, dir, to string, r *Restored) error {
	type made struct {
		path string
		e    Entry
	}
	var folders []made
	for _, e := range r.Snapshot.Entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		path := filepath.Join(to, filepath.FromSlash(strings.TrimPrefix(e.Path, "data/")))
		if rest, ok := strings.CutPrefix(e.Path, "settings/"); ok {
			path = filepath.Join(to, settingsName, filepath.FromSlash(rest))
			r.Settings = filepath.Join(r.Data, settingsName)
		}
		if e.Folder {
			if err := os.MkdirAll(path, 0o700); err != nil {
				return err
			}
			folders = append(folders, made{path, e})
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := extract(dir, e, path); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
	}
	for _, f := range slices.Backward(folders) {
		if err := errors.Join(setAttributes(f.path, f.e.Attributes), os.Chmod(f.path, f.e.Mode)); err != nil {
			return fmt.Errorf("%s: %w", f.e.Path, err)
		}
	}
	if err := revive(ctx, to, r); err != nil {
		return err
	}
	return filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = files.SyncDir(path)
		}
		return err
	})
}

// extract writes the file of an entry and checks its sum. Names and times are as they were, so that a later backup finds it unchanged.
func extract(dir string, e Entry, path string) error {
	in, err := os.Open(contentPath(dir, e.Sum))
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, hash), in)
	if err == nil && (n != e.Bytes || hex.EncodeToString(hash.Sum(nil)) != e.Sum) {
		err = errors.New("its content has changed since the backup")
	}
	if err == nil {
		err = setAttributes(path, e.Attributes)
	}
	err = errors.Join(err, out.Chmod(e.Mode), out.Sync(), out.Close())
	if err == nil {
		err = os.Chtimes(path, e.Modified, e.Modified)
	}
	return err
}

// revive gives the restored worker a name of its own, and marks the unfinished jobs. A worker of PostgreSQL keeps its name: its rows are in
// that database, and the data directory takes the place of the one that was lost.
func revive(ctx context.Context, to string, r *Restored) (err error) {
	if !r.Snapshot.Database {
		return nil
	}
	before, err := os.ReadFile(filepath.Join(to, workerName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	worker := "w-" + strings.ToLower(rand.Text())[:10]
	if r.Jobs, err = store.Revive(ctx, filepath.Join(to, databaseName), strings.TrimSpace(string(before)), worker); err != nil {
		return err
	}
	return files.WriteFile(filepath.Join(to, workerName), []byte(worker+"\n"), 0o600)
}
