package store

import (
	"context"
	"database/sql"
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
