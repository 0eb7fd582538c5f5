package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/batholith/batholith"
)

// Move changes a job's status from one to another, with one event, if it still is the first: otherwise, and when the job's end is
// settled, it is [batholith.ErrMoved]. An empty message leaves the job's message as it is. Modified becomes at unless it is later already,
// and Ended becomes Modified when the new status is terminal. A move to the same status changes the message only.
func (s *Store) Move(ctx context.Context, id string, from, to batholith.Status, message string, at time.Time) error {
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error { return move(ctx, tx, id, from, to, message, at) })
	if err != nil {
		return wrap("move job", id, err)
	}
	s.changes.signal()
	return nil
}

// move is Move within a transaction.
func move(ctx context.Context, tx *sql.Tx, id string, from, to batholith.Status, message string, at time.Time) error {
	if from.Terminal() {
		return cause(ctx, tx, id, batholith.ErrMoved) // nothing moves a job that has ended
	}
	message = trim(message)
	var modified int64
	err := tx.QueryRowContext(ctx, `
		UPDATE jobs SET status = $1, active = $2,
			message = CASE WHEN $3 = '' THEN message ELSE $3 END,
			modified = CASE WHEN modified > $4 THEN modified ELSE $4 END
		WHERE id = $5 AND status = $6 AND ending = '' RETURNING modified`,
		string(to), bit(!to.Terminal()), message, millis(at), id, string(from)).Scan(&modified)
	if errors.Is(err, sql.ErrNoRows) {
		return cause(ctx, tx, id, batholith.ErrMoved)
	}
	if err != nil || from == to {
		return err
	}
	if to.Terminal() {
		if _, err := tx.ExecContext(ctx, `UPDATE jobs SET ended = modified WHERE id = $1`, id); err != nil {
			return err
		}
	}
	return insertEvent(ctx, tx, id, to, message, modified)
}

// Note replaces the message of a job; an empty one takes it away. A job that is terminal, or whose end is settled, keeps its last word:
// batholith.ErrMoved.
func (s *Store) Note(ctx context.Context, id, message string) error {
	return wrap("note on job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `
			UPDATE jobs SET message = $1, modified = CASE WHEN modified > $2 THEN modified ELSE $2 END
			WHERE id = $3 AND active = 1 AND ending = ''`, trim(message), millis(time.Now()), id)
		return changed(ctx, tx, r, err, id, batholith.ErrMoved)
	}))
}

// Seal has the store refuse every further claim and commit of the job. There is no way back.
func (s *Store) Seal(ctx context.Context, id string) error {
	return wrap("seal job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `UPDATE jobs SET sealed = 1 WHERE id = $1`, id)
		return changed(ctx, tx, r, err, id, batholith.ErrNotFound)
	}))
}

// changed returns refusal when an update of a job's row found no row to change, or ErrNotFound when there is no such job.
func changed(ctx context.Context, tx *sql.Tx, r sql.Result, err error, id string, refusal error) error {
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return cause(ctx, tx, id, refusal)
}

// cause is refusal, or [batholith.ErrNotFound] when there is no such job.
func cause(ctx context.Context, tx *sql.Tx, id string, refusal error) error {
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT 1 FROM jobs WHERE id = $1`, id).Scan(&n); err != nil {
		return found(err)
	}
	return refusal
}

// trim cuts a message to [batholith.MaxMessage] bytes, between two characters.
func trim(message string) string {
	if len(message) <= batholith.MaxMessage {
		return message
	}
	n := batholith.MaxMessage
	for n > 0 && !utf8.RuneStart(message[n]) {
		n--
	}
	return message[:n]
}
