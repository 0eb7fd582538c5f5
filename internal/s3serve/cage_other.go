//go:build !linux

package s3serve

import "errors"

// detach is not possible here: all threads share the process's working directory.
func detach() error { return errors.ErrUnsupported }
