package store

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"

	"github.com/batholith/batholith"
)

// Peek reads a job with its tags from the database at path, also while a server uses it. It changes nothing, and needs no lock. The error is
// [batholith.ErrNotFound] if there is no such job, and os.ErrNotExist if there is no database.
func Peek(ctx context.Context, path, id string) (j batholith.Job, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return j, err
	}
	if _, err := os.Stat(path); err != nil {
		return j, err
	}
	db, err := connect(path, 1, "mode", "rw", "_pragma", "busy_timeout(2000)", "_pragma", "query_only(1)")
	if err != nil {
		return j, wrap("read job", id, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if j, err = scanJob(db.QueryRowContext(ctx, findQuery, id)); err != nil {
		return j, wrap("read job", id, err)
	}
	s := &Store{dialect: sqliteDialect(), reader: db}
	rows, err := read(ctx, s, func(rows *sql.Rows) (t batholith.Tag, err error) { return t, rows.Scan(&t.Key, &t.Value) },
		`SELECT name, value FROM tags WHERE job = $1 ORDER BY name`, id)
	j.Tags = rows
	return j, wrap("read the tags of job", id, err)
}
