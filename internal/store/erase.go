package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/batholith/batholith"
)

// A job that has ended is forgotten in three steps: ForgetJob notes that it is wanted; a worker deletes the job's objects and then, with
// EraseJob, its rows; Compact removes the bytes of the deleted rows from the files of the database. The note that Compact is due is stored in the
// transaction that deletes the job's row, so that no crash loses it.

// ForgetJob notes that the account's job is to be forgotten, with its output if output is true. A later request replaces an earlier one. It
// returns [batholith.ErrMoved] if the job is not terminal or its results are kept.
func (s *Store) ForgetJob(ctx context.Context, account, id string, output bool) error {
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.owned(ctx, tx, account, id); err != nil {
			return err
		}
		r, err := tx.ExecContext(ctx, `UPDATE jobs SET forgetting = $1 WHERE id = $2 AND active = 0 AND kept = ''`, 1+bit(output), id)
		return changed(ctx, tx, r, err, id, batholith.ErrMoved)
	})
	if err != nil {
		return wrap("ask to forget job", id, err)
	}
	s.changes.signal()
	return nil
}

// Forgettable is a job that is to be forgotten.
type forgettable struct {
	id     string
	output bool
}

// forgettingQuery uses the partial index of such jobs.
const forgettingQuery = `SELECT id, forgetting FROM jobs WHERE forgetting > 0 ORDER BY id`

// Forgetting returns the ids of the jobs that are to be forgotten, and those of them whose output is to be deleted too.
func (s *Store) Forgetting(ctx context.Context) (ids []string, withOutput map[string]bool, err error) {
	all, err := read(ctx, s, func(rows *sql.Rows) (f forgettable, err error) {
		var how int
		err = rows.Scan(&f.id, &how)
		f.output = how > 1
		return f, err
	}, forgettingQuery)
	withOutput = map[string]bool{}
	for _, f := range all {
		ids = append(ids, f.id)
		if f.output {
			withOutput[f.id] = true
		}
	}
	return ids, withOutput, wrap("list", "jobs to forget", err)
}

// outdated are the conditions of a job that the retention forgets: it has ended, its clean-ups are done, and nothing of it is kept.
const outdated = `active = 0 AND unclean = 0 AND sweep = 0 AND kept = '' AND forgetting = 0`

// outdatedAtOnce is the number of jobs that one call of Outdate marks.
const outdatedAtOnce = 1000

// outdatedByAge and outdatedByCount are the statements of Outdate.
const (
	outdatedByAge = `UPDATE jobs SET forgetting = 1 WHERE id IN (SELECT id FROM jobs WHERE ` + outdated + ` AND ended <= $1 ORDER BY ended LIMIT $2)`
	// An account's latest jobs stay, by the order of their submission.
	outdatedByCount = `UPDATE jobs SET forgetting = 1 WHERE id IN (SELECT id FROM (
		SELECT id, ended, row_number() OVER (PARTITION BY account ORDER BY seq DESC) AS place FROM jobs WHERE ` + outdated + `) AS all_ended
		WHERE place > $1 ORDER BY ended LIMIT $2)`
)

// Outdate notes that jobs are to be forgotten, without their output: those that ended longer than age ago, and those that have keep later ones in
// their account. 0: no bound. It returns how many it has noted, at most outdatedAtOnce for each bound.
func (s *Store) Outdate(ctx context.Context, age time.Duration, keep int) (n int64, err error) {
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		n = 0
		do := func(query string, bound int64) error {
			r, err := tx.ExecContext(ctx, query, bound, outdatedAtOnce)
			if err != nil {
				return err
			}
			some, err := r.RowsAffected()
			n += some
			return err
		}
		if age > 0 {
			now, err := s.at(ctx, tx, time.Now())
			if err != nil {
				return err
			}
			if err := do(outdatedByAge, millis(now.Add(-age))); err != nil {
				return err
			}
		}
		if keep > 0 {
			return do(outdatedByCount, int64(keep))
		}
		return nil
	})
	if err == nil && n > 0 {
		s.changes.signal()
	}
	return n, wrap("find jobs that are kept", "too long", err)
}

// ofJobs are the tables with rows of jobs, in an order in which they can be deleted. The rows of a table are deleted by its key.
var ofJobs = []table{chunksTable, segmentsTable, uploadsTable, filesTable, {"progress", "worker"}, {"points", "slot"}, {"tags", "name"}, {"events", "seq"}}

// fewOfJobs are such tables with one row at most for each job, or for each worker of it.
var fewOfJobs = []string{"tokens", "forecasts", "reservations"}

// compactDue is the name of the shared value that says that bytes of deleted jobs are in the files of the database.
const compactDue = "compact"

// EraseJob deletes a job that is to be forgotten: its row and all that refers to it. Its name and token can be used again. A job that does not
// exist is no error, so that the call may be repeated.
func (s *Store) EraseJob(ctx context.Context, id string) error {
	secure := s.securely(ctx)
	defer secure()
	err := s.inBatches(ctx, func(ctx context.Context, tx *sql.Tx) (bool, error) {
		var wanted bool
		err := tx.QueryRowContext(ctx, `SELECT forgetting > 0 FROM jobs WHERE id = $1`+s.dialect.lock, id).Scan(&wanted)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return true, nil
		case err != nil:
			return false, err
		case !wanted:
			return false, batholith.ErrMoved
		}
		if err := s.unplaceEvents(ctx, tx, id); err != nil {
			return false, err
		}
		for _, t := range ofJobs {
			if n, err := deleteSome(ctx, tx, t, id); err != nil || n >= batchRows {
				return false, err
			}
		}
		for _, name := range fewOfJobs {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+name+` WHERE job = $1`, id); err != nil {
				return false, err
			}
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM jobs WHERE id = $1`, id); err != nil {
			return false, err
		}
		if s.dialect.serial() {
			_, err = tx.ExecContext(ctx, `INSERT INTO shared (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING`, compactDue, []byte{1})
		}
		return err == nil, err
	})
	return wrap("erase job", id, err)
}

// securely makes SQLite overwrite what it deletes, until the returned function is called. Without it, pages keep the bytes of deleted rows.
func (s *Store) securely(ctx context.Context) func() {
	if !s.dialect.serial() {
		return func() {}
	}
	_, _ = s.writer.ExecContext(ctx, `PRAGMA secure_delete = 1`) // Compact removes the rest
	return func() { _, _ = s.writer.ExecContext(context.WithoutCancel(ctx), `PRAGMA secure_delete = 0`) }
}

// compactBytes is the size of the largest SQLite database that Compact writes anew, which takes about a second per 50 MB, during which nothing
// else is written.
const compactBytes = 256 << 20

// Compact removes bytes of deleted jobs from the files of a SQLite database, if there are any: free pages, stale copies of rows in other pages,
// the write-ahead log. A database of more than compactBytes is not written anew: there only the deleted rows themselves were overwritten, and
// whole is false. With PostgreSQL it does nothing: vacuum frees the space of deleted rows.
func (s *Store) Compact(ctx context.Context) (whole bool, err error) {
	if !s.dialect.serial() {
		return true, nil
	}
	due, err := s.holds(ctx, `SELECT 1 FROM shared WHERE name = $1`, compactDue)
	if err != nil || !due {
		return true, wrap("compact", "the database", err)
	}
	var pages, size int64
	err = errors.Join(s.writer.QueryRowContext(ctx, `PRAGMA page_count`).Scan(&pages), s.writer.QueryRowContext(ctx, `PRAGMA page_size`).Scan(&size))
	if err != nil {
		return false, wrap("compact", "the database", err)
	}
	if whole = pages*size <= compactBytes; whole {
		if _, err := s.writer.ExecContext(ctx, `VACUUM`); err != nil {
			return false, wrap("compact", "the database", err)
		}
	}
	var busy, log, done int64
	if err := s.writer.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &log, &done); err != nil {
		return false, wrap("compact", "the database", err)
	}
	if busy != 0 { // a reader holds the log
		return false, wrap("compact", "the database", errors.New("it is being read"))
	}
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM shared WHERE name = $1`, compactDue)
		return err
	})
	return whole, wrap("compact", "the database", err)
}
