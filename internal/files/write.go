package files

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/batholith/batholith/internal/failpoint"
	"github.com/batholith/batholith/internal/system"
)

// WriteFile replaces a file durably. After a crash there is the old file, the new file or none, and never a part of one.
func WriteFile(path string, content []byte, mode os.FileMode) error {
	temp := path + ".new" // a crash may leave this file; the next write replaces it
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	failpoint.Here("files.file-written")
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir syncs a folder, which makes the names in it durable.
func SyncDir(dir string) error {
	if !system.FoldersSync {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
