package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gofrs/flock"
)

// lockDir waits until no other process holds the lock of the folder, and takes it. A process that dies gives its lock up.
// The lock is on the folder because SQLite's own locks are on the file, and closing any handle of that file drops them.
// Where folders cannot be locked it does nothing: two processes must not be the first to open a file at the same time there.
func lockDir(ctx context.Context, dir string) (unlock func() error, err error) {
	lock := flock.New(dir, flock.SetFlag(os.O_RDONLY))
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
