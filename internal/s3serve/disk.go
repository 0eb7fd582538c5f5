package s3serve

import (
	"errors"
	"os"
	"syscall"

	"github.com/batholith/batholith/internal/system"
)

// disk makes files durable. Tests replace it to record calls.
type disk struct {
	sync func(*os.File) error
}

func realDisk() disk { return disk{sync: (*os.File).Sync} }

// path syncs a file or directory. A missing one is not an error.
func (d disk) path(path string) error {
	f, err := os.Open(path)
	if !system.FoldersSync {
		f, err = openToSync(path)
	}
	if errors.Is(err, os.ErrNotExist) || system.Is(err, syscall.ENOTDIR) || f == nil && err == nil {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := d.sync(f); err != nil && !unsyncable(err) {
		return err
	}
	return nil
}

// unsyncable reports whether a file system cannot sync a directory and does not need to.
func unsyncable(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported)
}

// openToSync opens a file for a sync where that needs the right to write. It returns nil for a directory, which needs none there.
func openToSync(path string) (*os.File, error) {
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDWR, 0)
}
