package s3serve

import (
	"errors"
	"os"
	"syscall"
)

// disk is what makes things durable. Tests watch it.
type disk struct {
	sync func(*os.File) error
}

func realDisk() disk { return disk{sync: (*os.File).Sync} }

// path makes a file or a directory durable. One that is gone meanwhile needs nothing.
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

// unsyncable tells of file systems that cannot sync a directory and need not.
func unsyncable(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported)
}
