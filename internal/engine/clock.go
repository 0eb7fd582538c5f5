package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Clock is the database's clock, as this process knows it. Deadlines, the quotas of a day, signatures and session tokens are measured by it,
// so that processes whose own clocks differ by minutes agree. The zero value is this process's own clock.
//
// A measurement asks the database for its time once. The answer is taken for the time in the middle of the request:
//
//	now = answer + time since (begin of the request + end of the request) / 2
//
// so it is wrong by at most half of the request's duration. The time since then is measured by the monotonic clock: if the process's wall
// clock is set, nothing changes.
type Clock struct {
	mu       sync.Mutex
	answer   time.Time // of the database; zero: none yet
	measured time.Time // middle of the request
}

const (
	// clockEvery is the time between two measurements. Within it, a drift of 100 ppm is 1 ms.
	clockEvery = 10 * time.Second
	// clockSlow is the duration from which a request measures too little, unless there was none yet.
	clockSlow = time.Second
)

// Now returns the present time of the database's clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answer.IsZero() {
		return time.Now()
	}
	return c.answer.Add(time.Since(c.measured))
}

// of converts a time of this process's clock to the database's clock. The zero time stays zero.
func (c *Clock) of(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return c.Now().Add(time.Until(t))
}

// measure measures once.
func (c *Clock) measure(ctx context.Context, db interface {
	Now(ctx context.Context) (time.Time, error)
}) error {
	began := time.Now()
	answer, err := db.Now(ctx)
	if err != nil {
		return err
	}
	took := time.Since(began)
	c.mu.Lock()
	defer c.mu.Unlock()
	if took > clockSlow && !c.answer.IsZero() {
		return nil
	}
	c.answer, c.measured = answer, began.Add(took/2)
	return nil
}

// run measures until ctx ends. While the database does not answer, the last measurement stands.
func (c *Clock) run(ctx context.Context, db interface {
	Now(ctx context.Context) (time.Time, error)
}, log *slog.Logger) {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := c.measure(ctx, db); err != nil && ctx.Err() == nil {
			log.Debug("read the database's clock", "err", err)
		}
	}
}
