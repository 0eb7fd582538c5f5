package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/batholith/batholith"
)

// PutUpload remembers a multipart upload, before its first part; a second time does nothing. One of a publication, whose epoch is
// not 0, is refused with [batholith.ErrHeld] under another epoch than the present one, and with [batholith.ErrMoved] once the job is
// terminal: whoever claims a publication finds all that its predecessors may still complete. For any other upload a job that was
// forgotten is unclean again.
func (s *Store) PutUpload(ctx context.Context, u batholith.Upload) error {
	return wrap("remember an upload of job", u.Job, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if u.Epoch != 0 {
			if err := s.publishes(ctx, tx, u.Job, u.Epoch); err != nil {
				return err
			}
		}
		r, err := tx.ExecContext(ctx, `UPDATE jobs SET unclean = 1 WHERE id = $1`, u.Job)
		if err := changed(ctx, tx, r, err, u.Job, batholith.ErrNotFound); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO uploads (job, key, upload_id, epoch) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
			u.Job, u.Key, u.UploadID, u.Epoch)
		return err
	}))
}

// Uploads returns the job's uploads that were neither completed nor aborted, as far as the store was told.
func (s *Store) Uploads(ctx context.Context, id string) ([]batholith.Upload, error) {
	us, err := read(ctx, s, func(rows *sql.Rows) (u batholith.Upload, err error) {
		return u, rows.Scan(&u.Job, &u.Key, &u.UploadID, &u.Epoch)
	}, `SELECT job, key, upload_id, epoch FROM uploads WHERE job = $1 ORDER BY key, upload_id`, id)
	return us, wrap("read uploads of job", id, err)
}

// DeleteUpload forgets an upload that was completed or aborted.
func (s *Store) DeleteUpload(ctx context.Context, u batholith.Upload) error {
	return wrap("forget an upload of job", u.Job, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM uploads WHERE job = $1 AND key = $2 AND upload_id = $3`, u.Job, u.Key, u.UploadID)
		return err
	}))
}

// Forget deletes the files, chunks, segments and uploads of a terminal job. Its own row, token, tags and events stay. The job is among
// [Store.Unswept] then, to be cleaned up once more at this time, or at a later one for which it was forgotten before.
// A job that is not terminal, or whose results are kept, is [batholith.ErrMoved].
//
// The rows of a large job are deleted in many short transactions, between which others write. Until the last one the job stays among
// [Store.Unclean], so that a Forget that was cut short is repeated.
func (s *Store) Forget(ctx context.Context, id string, sweep time.Time) error {
	// The rows name the objects that the job left behind, so the caller deletes the objects first.
	return wrap("forget job", id, s.inBatches(ctx, func(ctx context.Context, tx *sql.Tx) (bool, error) {
		if g, err := s.lockJob(ctx, tx, id); err != nil {
			return false, err
		} else if !g.status.Terminal() || g.kept {
			return false, batholith.ErrMoved
		}
		return s.forgetSome(ctx, tx, id, sweep)
	}))
}

// forgetSome deletes one batch of a terminal job's rows. When these were the last, the job is forgotten, and it returns true.
func (s *Store) forgetSome(ctx context.Context, tx *sql.Tx, id string, sweep time.Time) (forgotten bool, err error) {
	for _, t := range []table{chunksTable, filesTable, segmentsTable, uploadsTable} {
		if n, err := deleteSome(ctx, tx, t, id); err != nil || n >= batchRows {
			return false, err
		}
	}
	at, err := s.dialect.at(ctx, tx, sweep)
	if err != nil {
		return false, err
	}
	_, err = tx.ExecContext(ctx, `UPDATE jobs SET unclean = 0, sweep = CASE WHEN sweep > $1 THEN sweep ELSE $1 END WHERE id = $2`, ceilMillis(at), id)
	return err == nil, err
}

// Unswept returns the ids of the jobs that are to be cleaned up once more until then, the earliest first.
func (s *Store) Unswept(ctx context.Context, until time.Time) ([]string, error) {
	at, err := s.dialect.at(ctx, s.reader, until)
	if err != nil {
		return nil, wrap("list", "jobs to sweep", err)
	}
	return s.ids(ctx, "list jobs to sweep", unsweptQuery, millis(at))
}

// Swept says that the job was cleaned up for the second time. If that is due later than now, it stays so. The caller's time is not used.
func (s *Store) Swept(ctx context.Context, id string, _ time.Time) error {
	return wrap("note that there is nothing left of job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		now, err := s.dialect.now(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE jobs SET sweep = 0 WHERE id = $1 AND sweep <= $2`, id, millis(now))
		return err
	}))
}
