package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/batholith/batholith"
)

// ClaimPublication makes worker the publisher of the job's output, under the next epoch. From then on the store refuses
// new uploads of other publishers; [Store.Uploads] lists those that they have begun. The claim is granted if
//
//   - the job has no publisher, or worker is the publisher
//   - the publisher has lost its lease (decided as in [Store.Claim]; the caller's time is not used)
//   - final is true and the publisher writes partial output
//
// and otherwise refused with [batholith.ErrHeld].
//
// From the claim until RestPublication or YieldPublication, the publisher counts as reading the job's segments: see [Store.ReplaceSegments].
//
// If the job is sealed and final is false, it returns [batholith.ErrSealed]; if the job is terminal and no results are kept,
// [batholith.ErrMoved].
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
		if err := g.understands(); err != nil {
			return err
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

// SealToPublish seals the job: the store refuses every further claim and commit of it. In the same transaction it claims the
// publication of the final output, as [Store.ClaimPublication] does. A non-empty why is stored as the job's Failing, unless there is a
// reason already, the job is terminal, or its end is decided. The epoch is 0 if the claim is not granted: another worker
// publishes, the job is terminal or decided, or it has no plan, or it needs a feature that this program does not know. The job is sealed in any case.
func (s *Store) SealToPublish(ctx context.Context, id, why, worker string) (epoch int64, err error) {
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		epoch = 0
		if err := seal(ctx, tx, id, why); err != nil {
			return err
		}
		var open bool
		var needs string
		err := tx.QueryRowContext(ctx, `SELECT active = 1 AND ending = '' AND total > 0, needs FROM jobs WHERE id = $1`, id).Scan(&open, &needs)
		if err != nil || !open || (gate{needs: features(needs)}).understands() != nil {
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

// YieldPublication ends a publication, if the epoch is the present one, so that any worker can claim it. Uploads under the epoch are
// accepted until another worker claims.
func (s *Store) YieldPublication(ctx context.Context, id string, epoch int64) error {
	return wrap("yield the publication of job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE jobs SET publisher = '', reading = 0 WHERE id = $1 AND publication = $2`, id, epoch)
		return err
	}))
}

// RestPublication notes that the publisher of the epoch does not read the job's segments any more. It stays the publisher.
func (s *Store) RestPublication(ctx context.Context, id string, epoch int64) error {
	return wrap("rest the publication of job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE jobs SET reading = 0 WHERE id = $1 AND publication = $2`, id, epoch)
		return err
	}))
}

// Decide fixes the terminal status and message of a job whose output is written. Clients see them after End. From then on the job cannot end
// with another status, and its segments are not needed any more. It returns [batholith.ErrHeld] if the epoch is not the present one (the
// output of the newer epoch may belong to another status), and [batholith.ErrMoved] if the job is not in the status from or its end is decided.
//
// A manifest that is not written yet is stored in the same transaction. The worker that ends the job must write it before, so that every
// worker writes the same bytes. While it is stored, the decision may be changed under the same epoch, since nothing is deleted yet.
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

// Decided returns the message of the decided end, and the manifest that must be written before End; nil if there is none.
func (s *Store) Decided(ctx context.Context, id string) (message string, manifest []byte, err error) {
	var text string
	err = s.row(ctx, []any{&message, &text}, `SELECT last_message, last_manifest FROM jobs WHERE id = $1`, id)
	if err != nil || text == "" {
		return message, nil, wrap("read the decided end of job", id, err)
	}
	return message, []byte(text), nil
}

// End is [Store.Move] to the decided status. It returns [batholith.ErrMoved] if no end is decided, and [batholith.ErrHeld] if the epoch is
// not the present one. A non-zero sweep says that the job's temporary objects are deleted; then the same transaction does what
// [Store.Forget] does. forgotten is false if the job has more rows than one transaction deletes: the caller must call Forget.
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
		if err := s.move(ctx, tx, id, from, to, message, at); err != nil || sweep.IsZero() {
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

// publishes returns [batholith.ErrHeld] unless the epoch is the job's present one. The job's row cannot change before the transaction ends.
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
