package store

import (
	"context"
	"sync"
	"time"
)

// Times in the database are those of the database's clock, since the clocks of two machines may be minutes apart. Where a caller passes a time, it is
// a time of the caller's clock, and the store stores the time that the database's clock shows at that moment:
//
//	stored = database's now + (time − process's now)
//
// SQLite has no clock. All of its processes are on one machine, and share the machine's.

// clock is what a process knows of the database's clock. It reads that clock now and then, and in between adds what its own monotonic clock
// has counted: two monotonic clocks differ by less than 1 ms in clockAge.
type clock struct {
	mu    sync.Mutex
	own   time.Time // when the database's clock was read, by this process's clock; zero: never
	shown time.Time // what it showed then
}

// clockAge is how long a reading of the database's clock is used.
const clockAge = 10 * time.Second

// Now returns the time of the database's clock, which is the same for all processes. It reads that clock.
func (s *Store) Now(ctx context.Context) (now time.Time, err error) {
	if s.dialect.now == nil {
		return time.Now(), nil
	}
	err = s.reads(ctx, func(ctx context.Context, db queryer) (err error) {
		now, err = s.clock.read(ctx, s.dialect, db)
		return err
	})
	return now, wrap("read", "the database's clock", err)
}

// now is Now without a question to the database, as a rule.
func (s *Store) now(ctx context.Context, db queryer) (time.Time, error) {
	if s.dialect.now == nil {
		return time.Now(), nil
	}
	s.clock.mu.Lock()
	own, shown := s.clock.own, s.clock.shown
	s.clock.mu.Unlock()
	now := time.Now()
	passed := now.Sub(own)
	// While a machine sleeps its monotonic clock stands still, and its wall clock is set afterwards.
	stood := now.Round(0).Sub(own.Round(0)) - passed
	if own.IsZero() || passed >= clockAge || stood.Abs() >= time.Second {
		return s.clock.read(ctx, s.dialect, db)
	}
	return shown.Add(passed), nil
}

// read reads the database's clock.
func (c *clock) read(ctx context.Context, d dialect, db queryer) (time.Time, error) {
	asked := time.Now()
	shown, err := d.now(ctx, db)
	if err != nil {
		return time.Time{}, err
	}
	answered := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own, c.shown = asked.Add(answered.Sub(asked)/2), shown
	return shown.Add(answered.Sub(c.own)), nil
}

// at converts a time of this process's clock to the database's clock. The zero time stays zero.
func (s *Store) at(ctx context.Context, db queryer, t time.Time) (time.Time, error) {
	if t.IsZero() || s.dialect.now == nil {
		return t, nil
	}
	ahead := time.Until(t)
	now, err := s.now(ctx, db)
	return now.Add(ahead), err
}

// ours converts a time of the database's clock to this process's clock.
func (s *Store) ours(ctx context.Context, db queryer, t time.Time) (time.Time, error) {
	if t.IsZero() || s.dialect.now == nil {
		return t, nil
	}
	now, err := s.now(ctx, db)
	return time.Now().Add(t.Sub(now)), err
}
