package store

import (
	"context"
	"time"
)

// Now returns the time of the database's clock, which all of its processes share.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	now, err := s.dialect.now(ctx, s.reader)
	return now, wrap("read", "the database's clock", err)
}
