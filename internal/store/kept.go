package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/batholith/batholith"
)

// DecideKept is [Store.Decide] of a job that ends as Failed because its output could not be written: what it finished is kept from then
// on, with the reason as its note once it is over. It is not among [Store.Unclean] until it was published or discarded.
func (s *Store) DecideKept(ctx context.Context, id string, epoch int64, from batholith.Status, message string) error {
	return wrap("keep the results of job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.decide(ctx, tx, id, epoch, from, batholith.StatusFailed, message, nil); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE jobs SET kept = $1 WHERE id = $2`, string(batholith.KeptWaiting), id)
		return err
	}))
}

// PublishKept asks for the publication of the job's kept results: the job is among [Store.Asked] until it was made or has failed. Asking
// again changes nothing. [batholith.ErrNothingKept] when nothing is kept, or the job is not over yet.
func (s *Store) PublishKept(ctx context.Context, account, id string) error {
	return s.kept(ctx, "ask for the kept results of job", account, id, batholith.KeptPublishing)
}

// DiscardKept gives the job's kept results up: the job is among [Store.Asked] until a worker calls [Store.Discarded]. Asking again changes
// nothing. While they are being published it is too late, and they go when they are published: [batholith.ErrNothingKept], as when nothing
// is kept.
func (s *Store) DiscardKept(ctx context.Context, account, id string) error {
	return s.kept(ctx, "discard the kept results of job", account, id, batholith.KeptDiscarding)
}

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

// askedQuery reads the partial index of kept results.
const askedQuery = `SELECT id FROM jobs WHERE kept IN ('Publishing', 'Discarding') AND kept <> '' ORDER BY submitted`

// Asked returns the ids of the jobs whose kept results somebody wants published or deleted, oldest first.
func (s *Store) Asked(ctx context.Context) ([]string, error) {
	return s.ids(ctx, "list jobs whose kept results are asked for", askedQuery)
}

// Published says that the kept results of a job are in its output, with the message that the job has from then on. They are not kept
// any more, and the job is among [Store.Unclean]. [batholith.ErrHeld] under another epoch than the present one.
func (s *Store) Published(ctx context.Context, id string, epoch int64, message string, at time.Time) error {
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.publishes(ctx, tx, id, epoch); err != nil {
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

// Discarded says that the kept results of a job that somebody gave up are nobody's any more, with the message that the job has from then
// on. The job is among [Store.Unclean]. [batholith.ErrNothingKept] when they were not given up, or this was said before.
func (s *Store) Discarded(ctx context.Context, id, message string, at time.Time) error {
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
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

// Unpublished says why the kept results of a job could not be published: they wait again, with this as the job's note.
func (s *Store) Unpublished(ctx context.Context, id, why string) error {
	return wrap("keep the results of job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE jobs SET kept = 'Kept', note = $1 WHERE id = $2 AND kept = 'Publishing'`, batholith.CutMessage(why), id)
		return err
	}))
}
