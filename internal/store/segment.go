package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/batholith/batholith"
)

// Segments returns the job's segments and runs, by key.
func (s *Store) Segments(ctx context.Context, id string) ([]batholith.Segment, error) {
	segs, err := read(ctx, s, func(rows *sql.Rows) (g batholith.Segment, err error) {
		return g, rows.Scan(&g.Job, &g.Key, &g.Level, &g.Bytes, &g.Records, &g.Lines, &g.Sum)
	}, `SELECT job, key, level, bytes, records, lines, sum FROM segments WHERE job = $1 ORDER BY key`, id)
	return segs, wrap("read segments of job", id, err)
}

// ReplaceSegments replaces segments, named by their keys, by the run that was merged from them. If one of them does not exist, it changes
// nothing and returns an error, unless the run exists already: then the call was applied before.
//
// read reports whether a publisher may be reading the old segments now. Publications that begin later read the run.
func (s *Store) ReplaceSegments(ctx context.Context, id string, old []string, run batholith.Segment) (read bool, err error) {
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if run.Job != id {
			return fmt.Errorf("run %s belongs to job %s", run.Key, run.Job)
		}
		if _, err := s.lockJob(ctx, tx, id); err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, `SELECT reading FROM jobs WHERE id = $1`, id).Scan(&read); err != nil {
			return err
		}
		if known, err := hasSegment(ctx, tx, id, run.Key); err != nil || known {
			return err
		}
		for _, key := range old {
			if err := deleteSegment(ctx, tx, id, key); err != nil {
				return err
			}
		}
		return insertSegment(ctx, tx, run)
	})
	return read, wrap("replace segments of job", id, err)
}

// deleteSegment deletes one segment, which must exist.
func deleteSegment(ctx context.Context, tx *sql.Tx, id, key string) error {
	r, err := tx.ExecContext(ctx, `DELETE FROM segments WHERE job = $1 AND key = $2`, id, key)
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return fmt.Errorf("segment %s is gone", key)
}

// hasSegment reports whether the job has a segment with this key.
func hasSegment(ctx context.Context, tx *sql.Tx, id, key string) (bool, error) {
	var n int
	err := tx.QueryRowContext(ctx, `SELECT 1 FROM segments WHERE job = $1 AND key = $2`, id, key).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// insertSegment adds a segment, whose key must be new.
func insertSegment(ctx context.Context, tx *sql.Tx, g batholith.Segment) error {
	added, err := addSegment(ctx, tx, g)
	if err == nil && !added {
		err = fmt.Errorf("segment %s is there already", g.Key)
	}
	return err
}

// addSegment adds a segment, and reports false if its key is taken. Of several transactions that add the same key, the others wait for the
// end of the first.
func addSegment(ctx context.Context, tx *sql.Tx, g batholith.Segment) (added bool, err error) {
	r, err := tx.ExecContext(ctx, `INSERT INTO segments (job, key, level, bytes, records, lines, sum) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
		g.Job, g.Key, g.Level, g.Bytes, g.Records, g.Lines, int64(g.Sum))
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n > 0, err
}
