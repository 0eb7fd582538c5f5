package files

import (
	"errors"
	"fmt"
	"io/fs"
)

// PathAndReason is an error of the file system as a person reads it: the path and the reason, without the system call. Other errors,
// and nil, are returned as they are.
func PathAndReason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return err
}
