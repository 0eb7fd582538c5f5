package s3serve

import (
	"errors"
	"os"
	"syscall"
)

// disk makes files durable. Tests replace it to record calls.
type disk struct {
	sync func(*os.File) error
}

func realDisk() disk { return disk{sync: (*os.File).Sync} }

// path syncs a file or directory. A missing one is not an error.
func (d disk) path(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
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
