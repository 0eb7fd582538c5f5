package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/batholith/batholith"
)

// mayPause is the condition of a job that can be paused and resumed, see [batholith.Job.MayPause]: it has not ended and is not about to.
const mayPause = `active = 1 AND sealed = 0 AND ending = '' AND failing = '' AND status <> 'Stopping'`

// PauseJob pauses the account's job for a user. From then on [Store.Claim] returns no chunk of the job. A pause that ends by
// itself is replaced, so that the job waits for the user; any other pause stays as it is. It returns [batholith.ErrMoved] if the job has
// ended or is ending.
func (s *Store) PauseJob(ctx context.Context, account, id, reason string) error {
	return s.changePause(ctx, "pause job", account, id, func(ctx context.Context, tx *sql.Tx, now int64) (sql.Result, error) {
		return tx.ExecContext(ctx, `
			UPDATE jobs SET note = '', pause_reason = CASE WHEN paused > 0 AND pause_until = 0 THEN pause_reason ELSE $1 END,
				paused = CASE WHEN paused > 0 AND pause_until = 0 THEN paused ELSE $2 END, pause_until = 0,
				modified = CASE WHEN modified > $2 THEN modified ELSE $2 END
			WHERE id = $3 AND `+mayPause, batholith.CutMessage(reason), now, id)
	})
}

// ResumeJob ends a pause. A job that is not paused stays as it is. It returns [batholith.ErrMoved] if the job has ended or is ending.
func (s *Store) ResumeJob(ctx context.Context, account, id string) error {
	return s.changePause(ctx, "resume job", account, id, func(ctx context.Context, tx *sql.Tx, now int64) (sql.Result, error) {
		return tx.ExecContext(ctx, `
			UPDATE jobs SET modified = CASE WHEN paused = 0 OR modified > $1 THEN modified ELSE $1 END, paused = 0, pause_until = 0, pause_reason = ''
			WHERE id = $2 AND `+mayPause, now, id)
	})
}

// PauseJobUntil pauses a job for its worker, because a cap is reached or all records of its sample failed. The pause ends by itself at until;
// if until is zero, a user must resume the job. A paused job stays as it is. The job gets no sample after that. It returns [batholith.ErrMoved] if the job has ended or is ending.
func (s *Store) PauseJobUntil(ctx context.Context, id, reason string, until time.Time) error {
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		now, err := s.at(ctx, tx, time.Now())
		if err != nil {
			return err
		}
		if until, err = s.at(ctx, tx, until); err != nil {
			return err
		}
		r, err := tx.ExecContext(ctx, `
			UPDATE jobs SET sampled = 1, note = '', pause_reason = CASE WHEN paused > 0 THEN pause_reason ELSE $1 END,
				pause_until = CASE WHEN paused > 0 THEN pause_until ELSE $2 END, paused = CASE WHEN paused > 0 THEN paused ELSE $3 END,
				modified = CASE WHEN modified > $3 THEN modified ELSE $3 END
			WHERE id = $4 AND `+mayPause, batholith.CutMessage(reason), millis(until), millis(now), id)
		return changed(ctx, tx, r, err, id, batholith.ErrMoved)
	})
	if err != nil {
		return wrap("pause job", id, err)
	}
	s.changes.signal()
	return nil
}

// changePause runs a change of the account's job, and wakes the subscribers.
func (s *Store) changePause(ctx context.Context, verb, account, id string, change func(ctx context.Context, tx *sql.Tx, now int64) (sql.Result, error)) error {
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.owned(ctx, tx, account, id); err != nil {
			return err
		}
		now, err := s.at(ctx, tx, time.Now())
		if err != nil {
			return err
		}
		r, err := change(ctx, tx, millis(now))
		return changed(ctx, tx, r, err, id, batholith.ErrMoved)
	})
	if err != nil {
		return wrap(verb, id, err)
	}
	s.changes.signal()
	return nil
}

// pausedQuery uses the partial index of paused jobs.
const pausedQuery = `SELECT id FROM jobs WHERE paused > 0 AND ` + mayPause + ` ORDER BY submitted, account, seq`

// Paused returns the ids of the paused jobs of every account, oldest first.
func (s *Store) Paused(ctx context.Context) ([]string, error) {
	return s.ids(ctx, "list paused jobs", pausedQuery)
}
