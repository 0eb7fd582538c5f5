package files

import (
	"errors"
	"fmt"
	"io/fs"
)

// PathAndReason is an error of the file system for users: the path and the reason, without the name of the system call. Other errors
// and nil are returned unchanged.
func PathAndReason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return err
}
