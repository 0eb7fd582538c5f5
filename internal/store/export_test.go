package store

import (
	"context"
	"time"
)

// OpenPostgresByOurClock is [OpenPostgres], but the database's clock shows what this process's clock does: in a bubble of virtual time, the
// server's own clock stands still.
func OpenPostgresByOurClock(ctx context.Context, address string) (*Store, error) {
	s, err := OpenPostgres(ctx, address, PostgresOptions{})
	if err != nil {
		return nil, err
	}
	s.dialect.now = func(context.Context, queryer) (time.Time, error) { return time.Now(), nil }
	return s, nil
}
