package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/batholith/batholith"
)

// PutUpload stores a multipart upload. It must be called before the first part is sent. An upload that is stored already is no error. An
// upload of a publication has an epoch above 0: PutUpload returns [batholith.ErrHeld] if that is not the job's present epoch, and
// [batholith.ErrMoved] if the job is terminal. So a new publisher finds all uploads that earlier ones may still complete. Any other upload
// marks a forgotten job as unclean again.
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

// Uploads returns the job's stored uploads, by key. Each may be open; it may also be completed or aborted, if a crash prevented
// DeleteUpload.
func (s *Store) Uploads(ctx context.Context, id string) ([]batholith.Upload, error) {
	us, err := read(ctx, s, func(rows *sql.Rows) (u batholith.Upload, err error) {
		return u, rows.Scan(&u.Job, &u.Key, &u.UploadID, &u.Epoch)
	}, `SELECT job, key, upload_id, epoch FROM uploads WHERE job = $1 ORDER BY key, upload_id`, id)
	return us, wrap("read uploads of job", id, err)
}

// DeleteUpload deletes an upload that was completed or aborted.
func (s *Store) DeleteUpload(ctx context.Context, u batholith.Upload) error {
	return wrap("forget an upload of job", u.Job, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM uploads WHERE job = $1 AND key = $2 AND upload_id = $3`, u.Job, u.Key, u.UploadID)
		return err
	}))
}

// Forget deletes the files, chunks, segments, uploads and reservations of a terminal job. Its own row, token, tags and events stay. [Store.Unswept] then
// lists the job from the time sweep on, or from a later time of an earlier Forget.
// It returns [batholith.ErrMoved] if the job is not terminal, or if its results are kept.
//
// The rows of a large job are deleted in many short transactions, so that others can write in between. Until the last one [Store.Unclean]
// lists the job, so that a Forget that a crash interrupted is repeated.
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

// forgetSome deletes one batch of a terminal job's rows. It returns true if these were the last; then the job is forgotten.
func (s *Store) forgetSome(ctx context.Context, tx *sql.Tx, id string, sweep time.Time) (forgotten bool, err error) {
	for _, t := range []table{chunksTable, filesTable, segmentsTable, uploadsTable} {
		if n, err := deleteSome(ctx, tx, t, id); err != nil || n >= batchRows {
			return false, err
		}
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM reservations WHERE job = $1`, id); err != nil { // of a worker that was lost
		return false, err
	}
	at, err := s.at(ctx, tx, sweep)
	if err != nil {
		return false, err
	}
	_, err = tx.ExecContext(ctx, `UPDATE jobs SET unclean = 0, sweep = CASE WHEN sweep > $1 THEN sweep ELSE $1 END WHERE id = $2`, ceilMillis(at), id)
	return err == nil, err
}

// Unswept returns the ids of the jobs whose second clean-up is due by until, the earliest first.
func (s *Store) Unswept(ctx context.Context, until time.Time) ([]string, error) {
	var at time.Time
	err := s.reads(ctx, func(ctx context.Context, db queryer) (err error) {
		at, err = s.at(ctx, db, until)
		return err
	})
	if err != nil {
		return nil, wrap("list", "jobs to sweep", err)
	}
	return s.ids(ctx, "list jobs to sweep", unsweptQuery, millis(at))
}

// Swept notes that the job's second clean-up is done, unless it is due later than now. The time is that of the database; the caller's is
// not used.
func (s *Store) Swept(ctx context.Context, id string, _ time.Time) error {
	return wrap("note that there is nothing left of job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		now, err := s.now(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE jobs SET sweep = 0 WHERE id = $1 AND sweep <= $2`, id, millis(now))
		return err
	}))
}
