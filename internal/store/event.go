package store

import (
	"context"
	"database/sql"

	"github.com/batholith/batholith"
)

// insertEvent adds an event, in the transaction of its change.
func insertEvent(ctx context.Context, tx *sql.Tx, id string, status batholith.Status, message string, at int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO events (job, status, message, at) VALUES ($1, $2, $3, $4)`,
		id, string(status), message, at)
	return err
}

// Events returns up to limit changes of the status of any job, in order, after the change numbered seq. A reader that stores the last
// number sees every change at least once, and in order.
func (s *Store) Events(ctx context.Context, seq int64, limit int) ([]batholith.Change, error) {
	cs, err := read(ctx, s, scanEvent,
		`SELECT seq, job, status, message, at FROM events WHERE seq > $1 ORDER BY seq LIMIT $2`, seq, limit)
	return cs, wrap("read", "events", err)
}

// History returns the changes of one job's status, oldest first.
func (s *Store) History(ctx context.Context, id string) ([]batholith.Change, error) {
	cs, err := read(ctx, s, scanEvent,
		`SELECT seq, job, status, message, at FROM events WHERE job = $1 ORDER BY seq`, id)
	return cs, wrap("read the history of job", id, err)
}

// scanEvent reads a row of Events or History.
func scanEvent(rows *sql.Rows) (batholith.Change, error) {
	var c batholith.Change
	var at int64
	err := rows.Scan(&c.Seq, &c.Job, &c.Status, &c.Message, &at)
	c.At = fromMillis(at)
	return c, err
}
