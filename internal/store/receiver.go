package store

import (
	"context"
	"database/sql"
	"slices"

	"github.com/batholith/batholith"
)

// Receiver returns the cursor of a receiver of events: the number of the last one that it has got. A receiver that the database does not know
// gets those that become visible from now on.
func (s *Store) Receiver(ctx context.Context, name string) (seq int64, err error) {
	last := `SELECT COALESCE(max(seq), 0) FROM events`
	if !s.dialect.serial() {
		last = `SELECT COALESCE(max(number), 0) FROM events`
		if err := s.number(ctx); err != nil {
			return 0, wrap("number", "events", err)
		}
	}
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO receivers (name, seq) VALUES ($1, (`+last+`)) ON CONFLICT (name) DO NOTHING`, name); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT seq FROM receivers WHERE name = $1`, name).Scan(&seq)
	})
	return seq, wrap("read the cursor of receiver", name, err)
}

// PutReceiver moves the cursor of a receiver to an event. It never moves it back.
func (s *Store) PutReceiver(ctx context.Context, name string, seq int64) error {
	return wrap("move the cursor of receiver", name, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO receivers (name, seq) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET seq = excluded.seq WHERE receivers.seq < excluded.seq`, name, seq)
		return err
	}))
}

// RetireReceivers deletes the cursors of all receivers but those of keep. It returns the names of the deleted ones with the number of events that
// each had not got.
func (s *Store) RetireReceivers(ctx context.Context, keep []string) (gone map[string]int64, err error) {
	column := "seq"
	if !s.dialect.serial() {
		column = "number"
	}
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		gone = map[string]int64{}
		names, err := collect(ctx, tx, func(rows *sql.Rows) (name string, err error) {
			var waiting int64
			if err = rows.Scan(&name, &waiting); err == nil && !slices.Contains(keep, name) {
				gone[name] = waiting
			}
			return name, err
		}, `SELECT name, (SELECT count(*) FROM events WHERE events.`+column+` > receivers.seq) FROM receivers`)
		for _, name := range names {
			if _, old := gone[name]; old && err == nil {
				_, err = tx.ExecContext(ctx, `DELETE FROM receivers WHERE name = $1`, name)
			}
		}
		return err
	})
	return gone, wrap("retire", "receivers of events", err)
}

// The statements of backlogs. In PostgreSQL, events that have no number yet wait too.
const (
	serialBacklogQuery = `SELECT status, count(*), min(at) FROM (SELECT status, at FROM events WHERE seq > $1 ORDER BY seq LIMIT $2) AS waiting GROUP BY status`
	backlogQuery       = `SELECT status, count(*), min(at) FROM (
			(SELECT status, at FROM events WHERE number > $1 ORDER BY number LIMIT $2)
			UNION ALL (SELECT status, at FROM events WHERE number IS NULL LIMIT $2)) AS waiting GROUP BY status`
)

// backlogs counts what receivers have not got.
func (s *Store) backlogs(ctx context.Context) (all []batholith.Backlog, err error) {
	type cursor struct {
		name string
		seq  int64
	}
	cursors, err := read(ctx, s, func(rows *sql.Rows) (c cursor, err error) { return c, rows.Scan(&c.name, &c.seq) }, `SELECT name, seq FROM receivers ORDER BY name`)
	if err != nil {
		return nil, err
	}
	query := serialBacklogQuery
	if !s.dialect.serial() {
		query = backlogQuery
	}
	for _, c := range cursors {
		of, err := read(ctx, s, func(rows *sql.Rows) (b batholith.Backlog, err error) {
			var at int64
			err = rows.Scan(&b.Status, &b.Waiting, &at)
			b.Receiver, b.Oldest = c.name, fromMillis(at)
			return b, err
		}, query, c.seq, batholith.MaxBacklog)
		if err != nil {
			return nil, err
		}
		all = append(all, of...)
	}
	return all, nil
}
