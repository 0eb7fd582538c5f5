package store

import (
	"context"
	"database/sql"

	"github.com/batholith/batholith"
)

// Tags returns the tags of the account's job, by key.
func (s *Store) Tags(ctx context.Context, account, id string) ([]batholith.Tag, error) {
	type row struct{ key, value sql.NullString }
	// The LEFT JOIN gives one row of NULLs for a job without tags, and no row if the job does not exist.
	rows, err := read(ctx, s, func(rows *sql.Rows) (r row, err error) { return r, rows.Scan(&r.key, &r.value) },
		`SELECT name, value FROM (SELECT id FROM jobs WHERE id = $1 AND account = $2) AS it LEFT JOIN tags ON job = id ORDER BY name`, id, account)
	if err == nil && len(rows) == 0 {
		err = batholith.ErrNotFound
	}
	var tags []batholith.Tag
	for _, r := range rows {
		if r.key.Valid {
			tags = append(tags, batholith.Tag{Key: r.key.String, Value: r.value.String})
		}
	}
	return tags, wrap("read tags of job", id, err)
}

// taggedQuery finds a tag through the jobs that are not terminal, so that tags of terminal jobs cost nothing.
const taggedQuery = `SELECT job, value FROM tags WHERE name = $1 AND job IN (SELECT id FROM jobs WHERE active = 1)`

// Tagged returns the value of a tag for every job of any account that has it and is not terminal, by job id.
func (s *Store) Tagged(ctx context.Context, key string) (map[string]string, error) {
	type row struct{ job, value string }
	rows, err := read(ctx, s, func(rows *sql.Rows) (r row, err error) { return r, rows.Scan(&r.job, &r.value) }, taggedQuery, key)
	values := make(map[string]string, len(rows))
	for _, r := range rows {
		values[r.job] = r.value
	}
	return values, wrap("read the tag", key, err)
}

// PutTags adds tags to the account's job, and replaces values of those that it has. If the job would have more than limit tags (0: no
// limit), nothing changes and the error is [batholith.ErrTooManyTags]. The job needs the features of the tags from then on, also if they are removed.
func (s *Store) PutTags(ctx context.Context, account, id string, tags []batholith.Tag, limit int) error {
	return wrap("tag job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.owned(ctx, tx, account, id); err != nil {
			return err
		}
		if err := putTags(ctx, tx, id, tags); err != nil {
			return err
		}
		if err := needMore(ctx, tx, id, batholith.Needs(tags)); err != nil {
			return err
		}
		var n int
		err := tx.QueryRowContext(ctx, `SELECT count(*) FROM tags WHERE job = $1`, id).Scan(&n)
		if err == nil && limit > 0 && n > limit {
			return batholith.ErrTooManyTags
		}
		return err
	}))
}

// DeleteTags removes the tags with these keys from the account's job. Keys that it does not have are ignored.
func (s *Store) DeleteTags(ctx context.Context, account, id string, keys []string) error {
	return wrap("untag job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.owned(ctx, tx, account, id); err != nil {
			return err
		}
		for _, k := range keys {
			if _, err := tx.ExecContext(ctx, `DELETE FROM tags WHERE job = $1 AND name = $2`, id, k); err != nil {
				return err
			}
		}
		return nil
	}))
}

// owned checks that the account has the job. Its row lock makes changes of the job's tags sequential.
func (s *Store) owned(ctx context.Context, tx *sql.Tx, account, id string) error {
	var n int
	return found(tx.QueryRowContext(ctx, `SELECT 1 FROM jobs WHERE id = $1 AND account = $2`+s.dialect.lock, id, account).Scan(&n))
}

// putTags adds or replaces tags.
func putTags(ctx context.Context, tx *sql.Tx, id string, tags []batholith.Tag) error {
	for _, t := range tags {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO tags (job, name, value) VALUES ($1, $2, $3)
			ON CONFLICT (job, name) DO UPDATE SET value = excluded.value`, id, t.Key, t.Value)
		if err != nil {
			return err
		}
	}
	return nil
}
