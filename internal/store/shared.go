package store

import (
	"context"
	"database/sql"
)

// Shared returns the value that all processes of the database share under a name. If there is none, it stores this one. Of several
// processes that call it at the same time, all get the same value. A stored value never changes.
func (s *Store) Shared(ctx context.Context, name string, value []byte) (shared []byte, err error) {
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO shared (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, name, value); err != nil {
			return err
		}
		shared = nil
		return tx.QueryRowContext(ctx, `SELECT value FROM shared WHERE name = $1`, name).Scan(&shared)
	})
	return shared, wrap("share", name, err)
}

// ReadShared returns the value that all processes share under a name, or nil if there is none.
func (s *Store) ReadShared(ctx context.Context, name string) ([]byte, error) {
	values, err := read(ctx, s, func(rows *sql.Rows) (value []byte, err error) { return value, rows.Scan(&value) }, `SELECT value FROM shared WHERE name = $1`, name)
	if err != nil || len(values) == 0 {
		return nil, wrap("read the shared value", name, err)
	}
	return values[0], nil
}
