package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/batholith/batholith"
)

// ClaimPublication makes worker the one that publishes the job's output, under a new epoch, higher by one. From then on the store refuses
// every upload that another publisher begins, and what others have begun is among [Store.Uploads]. The claim is granted when nobody
// publishes, when worker does already, when the publisher has lost its lease, and when worker asks for the final output and the
// publisher writes a partial one. Otherwise it is [batholith.ErrHeld].
//
// Whether a lease is lost is decided as in [Store.Claim]; the caller's time is not used.
//
// From the claim until it rests or yields, the publisher reads the job's segments: see [Store.ReplaceSegments].
//
// A job that is sealed has no partial output any more: [batholith.ErrSealed]. One that is terminal has a publisher only while results of
// it are kept; otherwise it is [batholith.ErrMoved].
func (s *Store) ClaimPublication(ctx context.Context, id, worker string, final bool, _ time.Time) (epoch int64, err error) {
	// If the worker dies here, it is a publisher that writes nothing. Its own next claim is granted at once, and another worker's when
	// its lease is lost.
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		g, err := s.lockJob(ctx, tx, id)
		switch {
		case err != nil:
			return err
		case g.status.Terminal() && !g.kept:
			return batholith.ErrMoved
		case g.sealed && !final:
			return batholith.ErrSealed
		}
		living, _, err := s.watch.look(ctx, tx)
		if err != nil {
			return err
		}
		rows, err := collect(ctx, tx, func(rows *sql.Rows) (n int64, err error) { return n, rows.Scan(&n) }, `
			UPDATE jobs SET publisher = $1, publication = publication + 1, final = $2, reading = 1
			WHERE id = $3 AND (publisher IN ('', $1) OR final < $2 OR NOT `+among("publisher", 4, len(living))+`)
			RETURNING publication`, append([]any{worker, bit(final), id}, living...)...)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return batholith.ErrHeld
		}
		epoch = rows[0]
		return nil
	})
	return epoch, wrap("claim the publication of job", id, err)
}

// YieldPublication lets anybody else publish the job, if the epoch is still that of its publication. What was begun under it is
// refused only when another has claimed.
func (s *Store) YieldPublication(ctx context.Context, id string, epoch int64) error {
	return wrap("yield the publication of job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE jobs SET publisher = '', reading = 0 WHERE id = $1 AND publication = $2`, id, epoch)
		return err
	}))
}

// RestPublication says that the publisher of the epoch has read what it wanted of the job's segments. It stays the publisher.
func (s *Store) RestPublication(ctx context.Context, id string, epoch int64) error {
	return wrap("rest the publication of job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE jobs SET reading = 0 WHERE id = $1 AND publication = $2`, id, epoch)
		return err
	}))
}

// Settle says how the job ends, once its output is there: in the status to, with this message, which is not shown before. Nothing else becomes of it from then on,
// and what it was made of is needed no more. [batholith.ErrHeld] when another epoch has begun since, whose output may be another than
// that of this status; [batholith.ErrMoved] when the job is not in the status from, or its end is settled already.
func (s *Store) Settle(ctx context.Context, id string, epoch int64, from, to batholith.Status, message string) error {
	return wrap("settle the end of job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return s.settle(ctx, tx, id, epoch, from, to, message)
	}))
}

// settle is Settle within a transaction.
func (s *Store) settle(ctx context.Context, tx *sql.Tx, id string, epoch int64, from, to batholith.Status, message string) error {
	if err := s.publishes(ctx, tx, id, epoch); err != nil {
		return err
	}
	r, err := tx.ExecContext(ctx, `
		UPDATE jobs SET ending = $1, last_message = $2
		WHERE id = $3 AND status = $4 AND ending = ''`, string(to), batholith.CutMessage(message), id, string(from))
	return changed(ctx, tx, r, err, id, batholith.ErrMoved)
}

// Conclude is [Store.Move] of a job to its settled end: [batholith.ErrMoved] when there is none, [batholith.ErrHeld] when another epoch
// has begun since.
func (s *Store) Conclude(ctx context.Context, id string, epoch int64, at time.Time) error {
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.publishes(ctx, tx, id, epoch); err != nil {
			return err
		}
		var from, to batholith.Status
		var message string
		err := tx.QueryRowContext(ctx, `SELECT status, ending, last_message FROM jobs WHERE id = $1`, id).Scan(&from, &to, &message)
		if err != nil {
			return found(err)
		}
		if to == "" {
			return batholith.ErrMoved
		}
		if _, err := tx.ExecContext(ctx, `UPDATE jobs SET ending = '', last_message = '' WHERE id = $1`, id); err != nil {
			return err
		}
		return move(ctx, tx, id, from, to, message, at)
	})
	if err != nil {
		return wrap("conclude job", id, err)
	}
	s.changes.signal()
	return nil
}

// publishes is [batholith.ErrHeld] unless the epoch is that of the job's publication. The job's row stays as it is until the transaction
// ends.
func (s *Store) publishes(ctx context.Context, tx *sql.Tx, id string, epoch int64) error {
	var now int64
	var active int
	err := tx.QueryRowContext(ctx, `
		SELECT publication, CASE WHEN kept <> '' THEN 1 ELSE active END FROM jobs WHERE id = $1`+s.dialect.lock, id).Scan(&now, &active)
	switch {
	case err != nil:
		return found(err)
	case active == 0:
		return batholith.ErrMoved
	case now != epoch:
		return batholith.ErrHeld
	}
	return nil
}
