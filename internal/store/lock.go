package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gofrs/flock"

	"github.com/batholith/batholith/internal/system"
)

// lockDir takes the lock of the folder, and waits at most busyTimeout while another process holds it. The system releases the lock of a
// process that dies. The lock is on the folder because SQLite's own locks are on the file, and closing any handle of that file releases
// them. If folders cannot be locked on this system, lockDir does nothing; then two processes must not be the first to open a file at the
// same time.
func lockDir(ctx context.Context, dir string) (unlock func() error, err error) {
	path, flag := system.FolderLock(dir)
	lock := flock.New(path, flock.SetFlag(flag))
	ctx, cancel := context.WithTimeout(ctx, busyTimeout)
	defer cancel()
	switch _, err := lock.TryLockContext(ctx, 10*time.Millisecond); {
	case errors.Is(err, errors.ErrUnsupported):
		return func() error { return nil }, nil
	case ctx.Err() != nil:
		return nil, errors.Join(fmt.Errorf("lock %s, which another process holds: %w", dir, context.Cause(ctx)), lock.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), lock.Close())
	}
	return lock.Close, nil
}
