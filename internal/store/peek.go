package store

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"

	"github.com/batholith/batholith"
)

// Peek reads whose a job is: its account, owner, name, model and tags. The database at path may be in use by a server, and be that of an older
// program. Peek changes nothing, and needs no lock. The error is [batholith.ErrNotFound] if there is no such job, os.ErrNotExist if there is
// no database, and a [*MovedError] if its jobs are in another one.
func Peek(ctx context.Context, path, id string) (j batholith.Job, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return j, err
	}
	if _, err := os.Stat(path); err != nil {
		return j, err
	}
	if err := notMoved(path); err != nil {
		return j, wrap("open database", path, err)
	}
	db, err := connect(path, 1, "mode", "rw", "_pragma", "busy_timeout(2000)", "_pragma", "query_only(1)")
	if err != nil {
		return j, wrap("read job", id, err)
	}
	j, err = peek(ctx, db, id)
	return j, errors.Join(err, db.Close())
}

// PeekPostgres is [Peek] in a PostgreSQL database. Other errors are those of [OpenPostgres].
func PeekPostgres(ctx context.Context, address string, o PostgresOptions, id string) (j batholith.Job, err error) {
	config, err := parse(address, o)
	if err != nil {
		return j, err
	}
	db := postgresDB(session(config, "peek", "reads"), 1)
	j, err = peek(ctx, db, id)
	if isUndefinedTable(err) { // no server has used the database yet
		err = batholith.ErrNotFound
	}
	return j, wrap("open database", describe(config), explainPostgres(config, errors.Join(err, db.Close())))
}

// peek reads a job with its tags. Its statements name only tables and columns that every version of the schema has.
func peek(ctx context.Context, db *sql.DB, id string) (j batholith.Job, err error) {
	j, err = one(collect(ctx, db, func(rows *sql.Rows) (j batholith.Job, err error) {
		return j, rows.Scan(&j.ID, &j.Account, &j.Owner, &j.Name, &j.Model)
	}, `SELECT id, account, owner, name, model FROM jobs WHERE id = $1`, id))
	if err == nil {
		j.Tags, err = collect(ctx, db, func(rows *sql.Rows) (t batholith.Tag, err error) { return t, rows.Scan(&t.Key, &t.Value) },
			`SELECT name, value FROM tags WHERE job = $1 ORDER BY name`, id)
	}
	return j, wrap("read job", id, err)
}
