package store

import (
	"context"
	"database/sql"
	"math"

	"github.com/batholith/batholith"
)

// The events are an outbox: a reader stores the number of the last event that it has read, and asks for those after it. It must never miss
// one, so an event may only become visible when all with smaller numbers are.
//
// In SQLite one transaction writes at a time, and the number is the one that the row gets when it is inserted (seq). In PostgreSQL a transaction
// that has inserted first may commit last. So seq gives the order of the events of one job only, and an event has no number when it is
// committed. Before events are read, number gives the next numbers to those that have none, in transactions that exclude each other. What
// it does not see is committed later and gets a greater number.

// insertEvent adds an event, in the transaction of its change. The job's row is locked, so that seq rises with each event of the job.
func insertEvent(ctx context.Context, tx *sql.Tx, id string, status batholith.Status, message string, at int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO events (job, status, message, at) VALUES ($1, $2, $3, $4)`,
		id, string(status), message, at)
	return err
}

// Events returns up to limit changes of the status of any job, in order, after the change numbered seq. A reader that stores the last
// number sees every change, and in order.
func (s *Store) Events(ctx context.Context, seq int64, limit int) ([]batholith.Change, error) {
	query := serialEventsQuery
	if !s.dialect.serial() {
		query = eventsQuery
		if err := s.number(ctx); err != nil {
			return nil, wrap("number", "events", err)
		}
	}
	cs, err := read(ctx, s, func(rows *sql.Rows) (batholith.Change, error) {
		var n int64
		c, err := scanEvent(rows, &n)
		c.Seq = n
		return c, err
	}, query, seq, limit)
	return cs, wrap("read", "events", err)
}

// The statements of Events and of number.
const (
	serialEventsQuery = `SELECT job, status, message, at, seq FROM events WHERE seq > $1 ORDER BY seq LIMIT $2`
	eventsQuery       = `SELECT job, status, message, at, number FROM events WHERE number > $1 ORDER BY number LIMIT $2`
	unnumberedQuery   = `SELECT 1 FROM events WHERE number IS NULL LIMIT 1`
	numberLock        = `INSERT INTO outbox (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = outbox.id`
	numberQuery       = `WITH next AS (
			SELECT seq, row_number() OVER (ORDER BY seq) AS k FROM (SELECT seq FROM events WHERE number IS NULL ORDER BY seq LIMIT $1) AS fresh)
		UPDATE events SET number = next.k + (SELECT COALESCE(max(number), 0) FROM events) FROM next WHERE events.seq = next.seq`
)

// number gives numbers to all committed events that have none.
func (s *Store) number(ctx context.Context) error {
	if some, err := s.holds(ctx, unnumberedQuery); err != nil || !some {
		return err
	}
	return s.inBatches(ctx, func(ctx context.Context, tx *sql.Tx) (bool, error) {
		// One transaction at a time. The next statement sees what was committed until the lock was taken.
		if _, err := tx.ExecContext(ctx, numberLock); err != nil {
			return false, err
		}
		r, err := tx.ExecContext(ctx, numberQuery, batchRows)
		if err != nil {
			return false, err
		}
		n, err := r.RowsAffected()
		return n < batchRows, err
	})
}

// History returns the changes of one job's status, oldest first, without their numbers.
func (s *Store) History(ctx context.Context, id string) ([]batholith.Change, error) {
	cs, err := read(ctx, s, func(rows *sql.Rows) (batholith.Change, error) { return scanEvent(rows) },
		`SELECT job, status, message, at FROM events WHERE job = $1 ORDER BY seq`, id)
	return cs, wrap("read the history of job", id, err)
}

// scanEvent reads a row of History, and the columns after it into more.
func scanEvent(rows *sql.Rows, more ...any) (batholith.Change, error) {
	var c batholith.Change
	var at int64
	err := rows.Scan(append([]any{&c.Job, &c.Status, &c.Message, &at}, more...)...)
	c.At = fromMillis(at)
	return c, err
}

// AccountEvents returns up to limit changes of the jobs of an account that come before the change numbered before, newest first; before 0: the
// latest. The numbers are those of their insertion, which serve as the place to go on from.
func (s *Store) AccountEvents(ctx context.Context, account string, before int64, limit int) ([]batholith.Change, error) {
	if before <= 0 {
		before = math.MaxInt64
	}
	cs, err := read(ctx, s, func(rows *sql.Rows) (batholith.Change, error) {
		var n int64
		c, err := scanEvent(rows, &n)
		c.Seq = n
		return c, err
	}, accountEventsQuery, account, before, limit)
	return cs, wrap("read the events of account", account, err)
}

// accountEventsQuery walks the events from the latest on, past those of other accounts.
const accountEventsQuery = `SELECT e.job, e.status, e.message, e.at, e.seq FROM events e JOIN jobs j ON j.id = e.job
	WHERE j.account = $1 AND e.seq < $2 ORDER BY e.seq DESC LIMIT $3`
