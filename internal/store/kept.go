package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/batholith/batholith"
)

// DecideKept is [Store.Decide] with the status Failed, for a job whose output could not be written. Its finished results are kept:
// [Store.Unclean] does not list the job until they are published or discarded.
func (s *Store) DecideKept(ctx context.Context, id string, epoch int64, from batholith.Status, message string) error {
	return wrap("keep the results of job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.decide(ctx, tx, id, epoch, from, batholith.StatusFailed, message, nil); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE jobs SET kept = $1 WHERE id = $2`, string(batholith.KeptWaiting), id)
		return err
	}))
}

// PublishKept requests the publication of the job's kept results. [Store.Asked] lists the job until they are published, or the attempt has
// failed. A repeated request changes nothing. It returns [batholith.ErrNothingKept] if no results are kept, or the job is not terminal yet.
func (s *Store) PublishKept(ctx context.Context, account, id string) error {
	return s.kept(ctx, "ask for the kept results of job", account, id, batholith.KeptPublishing)
}

// DiscardKept requests the deletion of the job's kept results. [Store.Asked] lists the job until a worker calls [Store.Discarded]. A
// repeated request changes nothing. It returns [batholith.ErrNothingKept] if no results are kept, or if they are being published.
func (s *Store) DiscardKept(ctx context.Context, account, id string) error {
	return s.kept(ctx, "discard the kept results of job", account, id, batholith.KeptDiscarding)
}

// kept implements both requests.
func (s *Store) kept(ctx context.Context, verb, account, id string, to batholith.Kept) error {
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := scanJob(tx.QueryRowContext(ctx, `SELECT `+jobColumns+` FROM jobs WHERE id = $1 AND account = $2`, id, account)); err != nil {
			return err
		}
		r, err := tx.ExecContext(ctx, `
			UPDATE jobs SET kept = $1, note = ''
			WHERE id = $2 AND active = 0 AND kept IN ('Kept', $1)`, string(to), id)
		return changed(ctx, tx, r, err, id, batholith.ErrNothingKept)
	})
	if err != nil {
		return wrap(verb, id, err)
	}
	s.changes.signal()
	return nil
}

// askedQuery uses the partial index of kept results.
const askedQuery = `SELECT id FROM jobs WHERE kept IN ('Publishing', 'Discarding') AND kept <> '' ORDER BY submitted`

// Asked returns the ids of the jobs whose kept results a user wants published or discarded, oldest first.
func (s *Store) Asked(ctx context.Context) ([]string, error) {
	return s.ids(ctx, "list jobs whose kept results are asked for", askedQuery)
}

// Published notes that the kept results of a job are in its output, and replaces the job's message. [Store.Unclean] then lists the job. It
// returns [batholith.ErrHeld] if the epoch is not the present one.
func (s *Store) Published(ctx context.Context, id string, epoch int64, message string, at time.Time) error {
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.publishes(ctx, tx, id, epoch); err != nil {
			return err
		}
		at, err := s.at(ctx, tx, at)
		if err != nil {
			return err
		}
		r, err := tx.ExecContext(ctx, `
			UPDATE jobs SET kept = '', note = '', message = $1, unclean = 1, modified = CASE WHEN modified > $2 THEN modified ELSE $2 END
			WHERE id = $3 AND active = 0 AND kept <> ''`, batholith.CutMessage(message), millis(at), id)
		return changed(ctx, tx, r, err, id, batholith.ErrNothingKept)
	})
	if err != nil {
		return wrap("end the publication of the kept results of job", id, err)
	}
	s.changes.signal()
	return nil
}

// Discarded notes that the kept results of a job may be deleted, and replaces the job's message. [Store.Unclean] then lists the job. It
// returns [batholith.ErrNothingKept] if their deletion was not requested, or was noted before.
func (s *Store) Discarded(ctx context.Context, id, message string, at time.Time) error {
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		at, err := s.at(ctx, tx, at)
		if err != nil {
			return err
		}
		r, err := tx.ExecContext(ctx, `
			UPDATE jobs SET kept = '', note = '', message = $1, unclean = 1, modified = CASE WHEN modified > $2 THEN modified ELSE $2 END
			WHERE id = $3 AND active = 0 AND kept = 'Discarding'`, batholith.CutMessage(message), millis(at), id)
		return changed(ctx, tx, r, err, id, batholith.ErrNothingKept)
	})
	if err != nil {
		return wrap("give up the kept results of job", id, err)
	}
	s.changes.signal()
	return nil
}

// Unpublished notes why the kept results of a job could not be published, as the job's note. They stay kept.
func (s *Store) Unpublished(ctx context.Context, id, why string) error {
	return wrap("keep the results of job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE jobs SET kept = 'Kept', note = $1 WHERE id = $2 AND kept = 'Publishing'`, batholith.CutMessage(why), id)
		return err
	}))
}
