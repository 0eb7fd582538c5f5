package store

import (
	"context"
	"database/sql"
	"errors"
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
		epoch, err = s.claimPublication(ctx, tx, id, worker, final)
		return err
	})
	return epoch, wrap("claim the publication of job", id, err)
}

// claimPublication is ClaimPublication within a transaction, of a job that may be published.
func (s *Store) claimPublication(ctx context.Context, tx *sql.Tx, id, worker string, final bool) (epoch int64, err error) {
	living, _, err := s.watch.look(ctx, tx)
	if err != nil {
		return 0, err
	}
	rows, err := collect(ctx, tx, func(rows *sql.Rows) (n int64, err error) { return n, rows.Scan(&n) }, `
		UPDATE jobs SET publisher = $1, publication = publication + 1, final = $2, reading = 1
		WHERE id = $3 AND (publisher IN ('', $1) OR final < $2 OR NOT `+among("publisher", 4, len(living))+`)
		RETURNING publication`, append([]any{worker, bit(final), id}, living...)...)
	if err != nil {
		return 0, err
	}
	if len(rows) == 0 {
		return 0, batholith.ErrHeld
	}
	return rows[0], nil
}

// SealToPublish has the store refuse every further claim and commit of the job, for good, and in the same transaction claims the
// publication of the final output, as [Store.ClaimPublication] does. Of a job that is on its way to Failed it keeps why, as Failing; the
// first reason stays, and a job that is terminal, or whose end is decided, takes none: it ends as it was decided. The epoch is 0 when the
// claim is not granted: while another worker publishes, and for such a job or one that has no plan. It is sealed all the same.
func (s *Store) SealToPublish(ctx context.Context, id, why, worker string) (epoch int64, err error) {
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := seal(ctx, tx, id, why); err != nil {
			return err
		}
		var open int
		err := tx.QueryRowContext(ctx, `SELECT active = 1 AND ending = '' AND total > 0 FROM jobs WHERE id = $1`, id).Scan(&open)
		if err != nil || open == 0 {
			return err
		}
		if epoch, err = s.claimPublication(ctx, tx, id, worker, true); errors.Is(err, batholith.ErrHeld) {
			return nil
		}
		return err
	})
	if err != nil {
		return 0, wrap("seal job", id, err)
	}
	return epoch, nil
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

// Decide says how the job ends, once its output is there: in the status to, with this message, which is not shown before. Nothing else
// becomes of it from then on, and what it was made of is needed no more. [batholith.ErrHeld] when another epoch has begun since, whose
// output may be another than that of this status; [batholith.ErrMoved] when the job is not in the status from, or its end is decided already.
//
// A manifest that is not in the output yet is stored in the same transaction. Whoever ends the job writes it first: so every publisher
// that ever writes it writes the same bytes. While it is stored, the end may be decided otherwise under the same epoch, since nothing was
// cleaned up yet.
func (s *Store) Decide(ctx context.Context, id string, epoch int64, from, to batholith.Status, message string, manifest []byte) error {
	return wrap("decide the end of job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return s.decide(ctx, tx, id, epoch, from, to, message, manifest)
	}))
}

// decide is Decide within a transaction.
func (s *Store) decide(ctx context.Context, tx *sql.Tx, id string, epoch int64, from, to batholith.Status, message string, manifest []byte) error {
	if err := s.publishes(ctx, tx, id, epoch); err != nil {
		return err
	}
	r, err := tx.ExecContext(ctx, `
		UPDATE jobs SET ending = $1, last_message = $2, last_manifest = $3
		WHERE id = $4 AND status = $5 AND (ending = '' OR last_manifest <> '')`, string(to), batholith.CutMessage(message), string(manifest), id, string(from))
	return changed(ctx, tx, r, err, id, batholith.ErrMoved)
}

// Decided returns the message with which the job ends, and the manifest that is to be written before it is ended; nil when that is in
// the output, or there is none.
func (s *Store) Decided(ctx context.Context, id string) (message string, manifest []byte, err error) {
	var text string
	err = s.reader.QueryRowContext(ctx, `SELECT last_message, last_manifest FROM jobs WHERE id = $1`, id).Scan(&message, &text)
	if err != nil || text == "" {
		return message, nil, wrap("read the decided end of job", id, found(err))
	}
	return message, []byte(text), nil
}

// End is [Store.Move] of a job to its decided end: [batholith.ErrMoved] when there is none, [batholith.ErrHeld] when another epoch
// has begun since. With a time to sweep, the job's place in the bucket is clear, and it is forgotten in the same transaction, as by
// [Store.Forget]. Of a job with more rows than one transaction deletes it returns false: it is over, and is to be forgotten.
func (s *Store) End(ctx context.Context, id string, epoch int64, at, sweep time.Time) (forgotten bool, err error) {
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
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
		if _, err := tx.ExecContext(ctx, `UPDATE jobs SET ending = '', last_message = '', last_manifest = '' WHERE id = $1`, id); err != nil {
			return err
		}
		if err := move(ctx, tx, id, from, to, message, at); err != nil || sweep.IsZero() {
			return err
		}
		forgotten, err = s.forgetSome(ctx, tx, id, sweep)
		return err
	})
	if err != nil {
		return false, wrap("end job", id, err)
	}
	s.changes.signal()
	return forgotten, nil
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
