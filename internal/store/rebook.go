package store

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/batholith/batholith"
)

// A restored database may be older than the buckets of its jobs. Each unfinished job has the mark restored then, under which no chunk can be
// claimed. A worker compares the job's rows with its bucket, and replaces them in one transaction, which also removes the mark.

// epochJump is added to all epochs of a restored job, so that none is one that the database gave out after the backup: no chunk is claimed
// that often.
const epochJump = 1 << 20

// MarkRestored marks all unfinished jobs as restored, after the database was restored by other means than [Revive]. No process may use it
// meanwhile. It returns their number.
func (s *Store) MarkRestored(ctx context.Context) (n int64, err error) {
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, `UPDATE jobs SET restored = 1 WHERE active = 1`)
		if err == nil {
			n, err = r.RowsAffected()
		}
		return err
	})
	return n, wrap("mark", "the unfinished jobs as restored", err)
}

// Rebook replaces what the database has of the progress of a restored job: segments, done records and counters. All its chunks become
// claimable under epochs that no earlier claim had. If the job is not marked as restored, it changes nothing: another worker was faster. It
// returns [batholith.ErrMoved] if the segments have changed since the books were made.
func (s *Store) Rebook(ctx context.Context, id string, b batholith.Books) error {
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error { return s.rebook(ctx, tx, id, b) })
	if err == nil {
		s.changes.signal()
	}
	return wrap("enter what the bucket shows of job", id, err)
}

func (s *Store) rebook(ctx context.Context, tx *sql.Tx, id string, b batholith.Books) error {
	if marked, err := s.isRestored(ctx, tx, id); err != nil || !marked {
		return err
	}
	now, err := collect(ctx, tx, func(rows *sql.Rows) (key string, err error) { return key, rows.Scan(&key) }, `SELECT key FROM segments WHERE job = $1 ORDER BY key`, id)
	if err != nil {
		return err
	}
	if !slices.Equal(now, slices.Sorted(slices.Values(b.Before))) {
		return batholith.ErrMoved
	}
	for _, table := range []string{"segments", "progress"} {
		if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE job = $1`, id); err != nil {
			return err
		}
	}
	for _, g := range b.Segments {
		if err := insertSegment(ctx, tx, g); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `UPDATE chunks SET state = 'pending', owner = '', done = $1, epoch = epoch + $2 WHERE job = $3`, []byte{}, epochJump, id); err != nil {
		return err
	}
	for n, d := range b.Done {
		state := batholith.ChunkPending
		if d.All {
			state = batholith.ChunkDone
		}
		if _, err := tx.ExecContext(ctx, `UPDATE chunks SET done = $1, state = $2 WHERE job = $3 AND n = $4`, []byte(d.Records), string(state), id, n); err != nil {
			return err
		}
	}
	if err := setCounters(ctx, tx, id, b.Counts, b.Tokens, b.Ledger); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE jobs SET restored = 0, publisher = '', reading = 0, publication = publication + $1 WHERE id = $2`, epochJump, id)
	return err
}

// isRestored locks a job and reports whether it is marked as restored.
func (s *Store) isRestored(ctx context.Context, tx *sql.Tx, id string) (marked bool, err error) {
	err = tx.QueryRowContext(ctx, `SELECT restored > 0 FROM jobs WHERE id = $1`+s.dialect.lock, id).Scan(&marked)
	return marked, found(err)
}

// setCounters replaces the counters of a job, except the total.
func setCounters(ctx context.Context, tx *sql.Tx, id string, c batholith.Counts, t batholith.Tokens, l batholith.Ledger) error {
	_, err := tx.ExecContext(ctx, setCountersQuery, append(values(c, t, l), id)...)
	return err
}

// setCountersQuery is the statement of setCounters.
var setCountersQuery = func() string {
	var set []string
	for i, c := range allCounters {
		set = append(set, c+" = $"+strconv.Itoa(i+1))
	}
	return `UPDATE jobs SET ` + strings.Join(set, ", ") + ` WHERE id = $` + strconv.Itoa(len(allCounters)+1)
}()

// EndRestored ends a restored job whose manifest is in its bucket, with the manifest's status and counters. Nothing of the job is sent or
// published again; the clean-up follows. If the job is not marked as restored, it changes nothing. It returns [batholith.ErrMoved] if the
// status is not from.
func (s *Store) EndRestored(ctx context.Context, id string, from batholith.Status, m batholith.Manifest, message string, at time.Time) error {
	d := m.Batholith
	c := batholith.Counts{Processed: m.ProcessedRecordCount, Succeeded: m.SuccessRecordCount, Errored: m.ErrorRecordCount}
	t := batholith.Tokens{Input: m.InputTokenCount, Output: m.OutputTokenCount, CacheRead: m.CacheReadTokenCount, CacheWrite: m.CacheWriteTokenCount}
	l := batholith.Ledger{Attempts: d.Attempts, Repeats: d.Repeats, Reissued: d.Reissued, Reused: d.Reused, Canaries: d.Canaries,
		Outcomes: batholith.Outcomes{Invalid: d.Outcomes.Invalid, Refused: d.Outcomes.Refused, Exhausted: d.Outcomes.Exhausted},
		Wasted:   batholith.Tokens{Input: d.Wasted.Input, Output: d.Wasted.Output, CacheRead: d.Wasted.CacheRead, CacheWrite: d.Wasted.CacheWrite}}
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if marked, err := s.isRestored(ctx, tx, id); err != nil || !marked {
			return err
		}
		if err := fold(ctx, tx, id); err != nil {
			return err
		}
		if err := setCounters(ctx, tx, id, c, t, l); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE jobs SET restored = 0, sealed = 1, drafting = 0, total = $1, publisher = '', reading = 0, publication = publication + $2 WHERE id = $3`, m.TotalRecordCount, epochJump, id); err != nil {
			return err
		}
		return s.move(ctx, tx, id, from, d.Status, message, at)
	})
	if err == nil {
		s.changes.signal()
	}
	return wrap("end the restored job", id, err)
}
