package store

import (
	"context"
	"database/sql"

	"github.com/batholith/batholith"
)

// PutUpload remembers a multipart upload, before its first part; a second time does nothing. A job that was forgotten is
// unclean again.
func (s *Store) PutUpload(ctx context.Context, u batholith.Upload) error {
	return wrap("remember an upload of job", u.Job, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `UPDATE jobs SET unclean = 1 WHERE id = $1`, u.Job)
		if err := changed(ctx, tx, r, err, u.Job, batholith.ErrNotFound); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO uploads (job, key, upload_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			u.Job, u.Key, u.UploadID)
		return err
	}))
}

// Uploads returns the job's uploads that were neither completed nor aborted, as far as the store was told.
func (s *Store) Uploads(ctx context.Context, id string) ([]batholith.Upload, error) {
	us, err := read(ctx, s, func(rows *sql.Rows) (u batholith.Upload, err error) {
		return u, rows.Scan(&u.Job, &u.Key, &u.UploadID)
	}, `SELECT job, key, upload_id FROM uploads WHERE job = $1 ORDER BY key, upload_id`, id)
	return us, wrap("read uploads of job", id, err)
}

// DeleteUpload forgets an upload that was completed or aborted.
func (s *Store) DeleteUpload(ctx context.Context, u batholith.Upload) error {
	return wrap("forget an upload of job", u.Job, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM uploads WHERE job = $1 AND key = $2 AND upload_id = $3`, u.Job, u.Key, u.UploadID)
		return err
	}))
}

// Forget deletes the files, chunks, segments and uploads of a terminal job. Its own row, token, tags and events stay.
// A job that is not terminal is [batholith.ErrMoved].
func (s *Store) Forget(ctx context.Context, id string) error {
	// The rows tell which objects to delete, so they go last of all that the job left behind.
	return wrap("forget job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `UPDATE jobs SET unclean = 0 WHERE id = $1 AND active = 0`, id)
		if err := changed(ctx, tx, r, err, id, batholith.ErrMoved); err != nil {
			return err
		}
		if err := deletePlan(ctx, tx, id); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM segments WHERE job = $1`, id); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM uploads WHERE job = $1`, id)
		return err
	}))
}
