package store

import (
	"context"
	"database/sql"
	"errors"
)

// Revived counts the jobs of a restored database.
type Revived struct {
	Jobs       int64 `json:"jobs"`
	Unfinished int64 `json:"unfinished"` // of these: they are compared with their buckets before a record is sent
}

// Revive prepares the restored SQLite database at path for its first start, and brings its schema up to date. It marks all unfinished jobs as
// restored: see [Store.Rebook]. Segments on the shelf of the worker before become those of worker, and what living workers had noted is deleted.
func Revive(ctx context.Context, path, before, worker string) (r Revived, err error) {
	s, err := Open(ctx, path)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, table := range []string{"workers", "loads", "duties", "forecasts"} {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table); err != nil {
				return err
			}
		}
		if before != "" {
			old := "shelf:" + before + "/"
			if _, err := tx.ExecContext(ctx, `UPDATE segments SET key = $1 || substr(key, $2) WHERE substr(key, 1, $3) = $4`,
				"shelf:"+worker+"/", len(old)+1, len(old), old); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `UPDATE jobs SET restored = active`); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(active), 0) FROM jobs`).Scan(&r.Jobs, &r.Unfinished)
	})
	return r, wrap("prepare database", path, err)
}
