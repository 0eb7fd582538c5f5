package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/batholith/batholith"
)

// Snapshot writes a copy of the SQLite database at path, as it is at one moment, to a new file. A server may use the database meanwhile, and
// is not held up. The copy has no bytes of deleted rows.
func Snapshot(ctx context.Context, path, to string) (err error) {
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	db, err := connect(path, 1, "mode", "rw", "_pragma", fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()))
	if err != nil {
		return wrap("copy database", path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.ExecContext(ctx, `VACUUM INTO $1`, to)
	return wrap("copy database", path, explain(err))
}

// A Named object is one that rows of a job name, and without which the job cannot be finished.
type Named struct {
	Job batholith.Job
	Key string // in the bucket of the job's output; of a segment on a shelf, its key there
}

// Contents is what [Examine] finds in a database.
type Contents struct {
	Jobs       int64
	Unfinished []batholith.Job // and those whose results are kept
	Named      []Named         // by these jobs
	Known      map[string]bool // ids of all jobs
}

// Examine checks a SQLite database that no process uses, and returns what it holds. The error says what is wrong with it.
func Examine(ctx context.Context, path string) (c Contents, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return c, err
	}
	db, err := connect(path, 1, "mode", "ro", "immutable", "1")
	if err != nil {
		return c, wrap("check database", path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = examine(ctx, db, &c)
	return c, wrap("check database", path, explain(err))
}

func examine(ctx context.Context, db *sql.DB, c *Contents) error {
	text := func(rows *sql.Rows) (s string, err error) { return s, rows.Scan(&s) }
	said, err := collect(ctx, db, text, `PRAGMA integrity_check(10)`)
	if err != nil {
		return err
	}
	if len(said) != 1 || said[0] != "ok" {
		return fmt.Errorf("it is damaged: %s", said[0])
	}
	loose, err := collect(ctx, db, func(rows *sql.Rows) (string, error) {
		var table, parent string
		var row, key sql.NullInt64
		return table, rows.Scan(&table, &row, &parent, &key)
	}, `PRAGMA foreign_key_check`)
	if err != nil {
		return err
	}
	if len(loose) > 0 {
		return fmt.Errorf("it is damaged: %d rows of the table %s and others belong to no job", len(loose), loose[0])
	}
	ids, err := collect(ctx, db, text, `SELECT id FROM jobs`)
	if err != nil {
		return err
	}
	c.Jobs, c.Known = int64(len(ids)), make(map[string]bool, len(ids))
	for _, id := range ids {
		c.Known[id] = true
	}
	c.Unfinished, err = collect(ctx, db, func(rows *sql.Rows) (batholith.Job, error) { return scanJob(rows) },
		`SELECT `+jobColumns+` FROM jobs WHERE active = 1 OR kept <> '' ORDER BY submitted, account, seq`)
	if err != nil {
		return err
	}
	for _, j := range c.Unfinished {
		keys, err := collect(ctx, db, text, `SELECT key FROM segments WHERE job = $1 UNION SELECT index_key FROM files WHERE job = $1 AND index_key <> '' ORDER BY 1`, j.ID)
		if err != nil {
			return err
		}
		for _, key := range keys {
			c.Named = append(c.Named, Named{Job: j, Key: key})
		}
	}
	return nil
}
