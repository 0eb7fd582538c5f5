package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/batholith/batholith"
)

// Move changes a job's status and adds one event, in one transaction. It returns [batholith.ErrMoved] if the status is not from, if the
// job's end is decided, or if the job would become Scheduled with an unfinished plan.
//
// An empty message leaves the job's message unchanged. Modified becomes at, in the database's time, unless it is later already. If the new status is terminal,
// Ended becomes Modified, and Note and Failing are emptied. A move to the same status only changes the message, without an event.
func (s *Store) Move(ctx context.Context, id string, from, to batholith.Status, message string, at time.Time) error {
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error { return s.move(ctx, tx, id, from, to, message, at) })
	if err != nil {
		return wrap("move job", id, err)
	}
	s.changes.signal()
	return nil
}

// move is Move within a transaction.
func (s *Store) move(ctx context.Context, tx *sql.Tx, id string, from, to batholith.Status, message string, at time.Time) error {
	if from.Terminal() {
		return cause(ctx, tx, id, batholith.ErrMoved) // a terminal job does not move
	}
	at, err := s.at(ctx, tx, at)
	if err != nil {
		return err
	}
	message = batholith.CutMessage(message)
	var modified int64
	err = tx.QueryRowContext(ctx, `
		UPDATE jobs SET status = $1, active = CAST($2 AS BIGINT),
			message = CASE WHEN $3 = '' THEN message ELSE $3 END,
			note = CASE WHEN $2 = 1 THEN note ELSE '' END, failing = CASE WHEN $2 = 1 THEN failing ELSE '' END,
			modified = CASE WHEN modified > $4 THEN modified ELSE $4 END
		WHERE id = $5 AND status = $6 AND ending = '' AND (drafting = 0 OR $1 <> $7) RETURNING modified`,
		string(to), bit(!to.Terminal()), message, millis(at), id, string(from), string(batholith.StatusScheduled)).Scan(&modified)
	if errors.Is(err, sql.ErrNoRows) {
		return cause(ctx, tx, id, batholith.ErrMoved)
	}
	if err != nil || from == to {
		return err
	}
	if to.Terminal() {
		if err := fold(ctx, tx, id); err != nil { // usually the job is sealed, and there is nothing to add
			return err
		}
		err := tx.QueryRowContext(ctx, `UPDATE jobs SET ended = modified WHERE id = $1 RETURNING modified`, id).Scan(&modified)
		if err != nil {
			return err
		}
	}
	return insertEvent(ctx, tx, id, to, message, modified)
}

// Note replaces the note of a job; an empty one removes it. It returns batholith.ErrMoved if the job is terminal or its end is decided.
func (s *Store) Note(ctx context.Context, id, note string) error {
	return wrap("note on job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		now, err := s.now(ctx, tx)
		if err != nil {
			return err
		}
		r, err := tx.ExecContext(ctx, `
			UPDATE jobs SET note = $1, modified = CASE WHEN modified > $2 THEN modified ELSE $2 END
			WHERE id = $3 AND active = 1 AND ending = ''`, batholith.CutMessage(note), millis(now), id)
		return changed(ctx, tx, r, err, id, batholith.ErrMoved)
	}))
}

// Unnote removes the note of a job if it is this one. If another process has replaced it, or the job is terminal, it changes nothing and
// returns nil.
func (s *Store) Unnote(ctx context.Context, id, note string) error {
	return wrap("remove a note from job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		now, err := s.now(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `
			UPDATE jobs SET note = '', modified = CASE WHEN modified > $1 THEN modified ELSE $1 END
			WHERE id = $2 AND note = $3 AND note <> ''`, millis(now), id, batholith.CutMessage(note))
		return err
	}))
}

// seal is the first half of SealToPublish, within its transaction.
func seal(ctx context.Context, tx *sql.Tx, id, why string) error {
	r, err := tx.ExecContext(ctx, `
		UPDATE jobs SET sealed = 1, failing = CASE WHEN failing = '' AND active = 1 AND ending = '' THEN $1 ELSE failing END
		WHERE id = $2`, batholith.CutMessage(why), id)
	if err := changed(ctx, tx, r, err, id, batholith.ErrNotFound); err != nil {
		return err
	}
	return fold(ctx, tx, id)
}

// changed checks the result of an update of a job's row: if no row changed, it returns refusal, or ErrNotFound if the job does not exist.
func changed(ctx context.Context, tx *sql.Tx, r sql.Result, err error, id string, refusal error) error {
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return cause(ctx, tx, id, refusal)
}

// cause returns refusal, or [batholith.ErrNotFound] if the job does not exist.
func cause(ctx context.Context, tx *sql.Tx, id string, refusal error) error {
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT 1 FROM jobs WHERE id = $1`, id).Scan(&n); err != nil {
		return found(err)
	}
	return refusal
}
