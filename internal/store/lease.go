package store

import (
	"cmp"
	"context"
	"database/sql"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/batholith/batholith"
)

// Claim leases to worker the first n chunks of the job, or fewer, that are pending or whose owner has lost its lease. The epoch of each
// rises by one, so that commits of the previous owner are refused. Chunks that the worker itself owns are not claimed again until it
// releases them. If the job is sealed or paused, or neither Scheduled nor InProgress, or needs a feature that this program does not know, there are none. Chunks of a Scheduled job can be claimed, so that
// its first record can be sent as soon as it begins; commits are refused until then.
//
// This process's own observation decides whether a lease is lost (see watch). The caller's time is not used, since its clock may be wrong.
func (s *Store) Claim(ctx context.Context, worker, id string, n int, _ time.Time) ([]batholith.Chunk, error) {
	return s.claim(ctx, worker, id, n, false)
}

// ClaimLost is [Store.Claim] for chunks whose owner has lost its lease only.
func (s *Store) ClaimLost(ctx context.Context, worker, id string, n int) ([]batholith.Chunk, error) {
	return s.claim(ctx, worker, id, n, true)
}

func (s *Store) claim(ctx context.Context, worker, id string, n int, lost bool) ([]batholith.Chunk, error) {
	// If the worker dies before it gets the answer, it does not know of its chunks. They can be claimed again when its lease is lost, or
	// when it restarts under its name and releases them.
	if none, err := s.holds(ctx, noneToClaimQuery, id, worker); err != nil || none {
		return nil, wrap("claim chunks of job", id, err)
	}
	var chunks []batholith.Chunk
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		chunks = nil
		// No lock: a claim that meets a seal comes before or after it, and changes nothing that the seal decides.
		j, err := s.readGate(ctx, tx, id, "")
		if err != nil || j.sealed || j.paused || j.restored || j.understands() != nil || j.status != batholith.StatusScheduled && j.status != batholith.StatusInProgress {
			return err
		}
		living, _, err := s.watch.look(ctx, tx)
		if err != nil {
			return err
		}
		chunks, err = collect(ctx, tx, func(rows *sql.Rows) (batholith.Chunk, error) { return scanChunk(rows) },
			s.dialect.claim(len(living), lost), append([]any{worker, id, max(n, 0)}, living...)...)
		return err
	})
	if err != nil {
		return nil, wrap("claim chunks of job", id, err)
	}
	// UPDATE ... RETURNING gives no order.
	slices.SortFunc(chunks, func(a, b batholith.Chunk) int { return cmp.Compare(a.N, b.N) })
	return chunks, nil
}

// Nearly every job gets one Claim that finds no chunk, and one Release without any. These queries find that out by a read, which saves a write
// transaction.
const (
	noneToClaimQuery = `SELECT 1 FROM jobs WHERE id = $1 AND NOT EXISTS (
		SELECT 1 FROM chunks WHERE job = $1 AND state <> 'done' AND (state = 'pending' OR owner <> $2))`
	leasedOfJobQuery = `SELECT 1 FROM chunks WHERE state = 'leased' AND owner = $1 AND job = $2 LIMIT 1`
)

// holds reports whether a query has a row.
func (s *Store) holds(ctx context.Context, query string, args ...any) (bool, error) {
	rows, err := read(ctx, s, func(rows *sql.Rows) (n int, err error) { return n, rows.Scan(&n) }, query, args...)
	return len(rows) > 0, err
}

// claim is the statement of Claim, or of ClaimLost, if living workers own chunks. It finds the chunks that are not done by a partial index,
// and locks only those that it takes.
func (d dialect) claim(living int, lost bool) string {
	pending := `state = 'pending' OR `
	if lost {
		pending = `state <> 'pending' AND ` // and not done: leased. It is written so that the chunks are read in order
	}
	const set, returning = `UPDATE chunks SET state = 'leased', owner = $1, epoch = epoch + 1 WHERE (job, n) IN (`, `) RETURNING ` + chunkColumns
	free := `SELECT job, n FROM chunks WHERE job = $2 AND state <> 'done' AND (` + pending + `owner <> $1 AND NOT ` + among("owner", 4, living) + `)
		ORDER BY n LIMIT $3` + d.skipLocked
	if d.serial() {
		return set + free + returning
	}
	// MATERIALIZED: the database may run an inner query more than once, and would lock other chunks each time. The pair of columns makes it
	// look up each chunk by the primary key.
	return `WITH free AS MATERIALIZED (` + free + `) ` + set + `SELECT job, n FROM free` + returning
}

// gate is the part of a job's row that decides whether the job accepts claims and commits.
type gate struct {
	status batholith.Status
	sealed bool
	kept   bool // its results are kept
	paused bool
	// restored: its rows are not compared with its bucket yet
	restored bool
	needs    []batholith.Feature
}

// lockJob reads a job's gate, which cannot change before the transaction ends.
func (s *Store) lockJob(ctx context.Context, tx *sql.Tx, id string) (gate, error) {
	return s.readGate(ctx, tx, id, s.dialect.lock)
}

// readGate reads a job's gate under a lock of the dialect, or under none.
func (s *Store) readGate(ctx context.Context, tx *sql.Tx, id, lock string) (gate, error) {
	var g gate
	var sealed int
	var needs string
	err := tx.QueryRowContext(ctx, `SELECT status, sealed, kept <> '', paused > 0, restored > 0, needs FROM jobs WHERE id = $1`+lock, id).Scan(&g.status, &sealed, &g.kept, &g.paused, &g.restored, &needs)
	g.sealed, g.needs = sealed != 0, features(needs)
	return g, found(err)
}

// Release makes chunks pending that the worker has leased: those of one job, or of every job if id is empty. Later commits of the worker
// for them are refused. Many chunks are released in several transactions; after an error some of them may be released.
func (s *Store) Release(ctx context.Context, worker, id string) error {
	if id != "" {
		if some, err := s.holds(ctx, leasedOfJobQuery, worker, id); err != nil || !some {
			return wrap("release chunks of worker", worker, err)
		}
	}
	return wrap("release chunks of worker", worker, s.inBatches(ctx, func(ctx context.Context, tx *sql.Tx) (bool, error) {
		args := []any{worker, batchRows}
		if id != "" {
			args = append(args, id)
		}
		r, err := tx.ExecContext(ctx, s.dialect.release(id != ""), args...)
		if err != nil {
			return false, err
		}
		n, err := r.RowsAffected()
		return n < batchRows, err
	}))
}

// release is the statement of Release, for the chunks of one job or of all. It uses the partial index of leased chunks.
func (d dialect) release(ofJob bool) string {
	const set = `UPDATE chunks SET state = 'pending', owner = '' WHERE (job, n) IN (`
	mine := `SELECT job, n FROM chunks WHERE state = 'leased' AND owner = $1`
	if ofJob {
		mine += ` AND job = $3`
	}
	if d.serial() {
		return set + mine + ` LIMIT $2)`
	}
	// The lock waits for commits of these chunks, in the same order as they lock them, and leaves out chunks that they have finished.
	return `WITH mine AS MATERIALIZED (` + mine + ` ORDER BY job, n LIMIT $2` + d.lock + `) ` + set + `SELECT job, n FROM mine)`
}

// forgotten is how long a worker's row is kept after the end of its lease.
const forgotten = time.Hour

// Heartbeat renews the leases of the worker's chunks. Their length is the time from now until the given time, by this process's clock;
// other processes measure this length by their own clocks. A time that is not in the future gives the leases up.
func (s *Store) Heartbeat(ctx context.Context, worker string, until time.Time) error {
	// Compute the length before the wait for the transaction: so the stored lease never ends before the caller's.
	lease := max(ceilDuration(time.Until(until)), 0)
	var idle []beat
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		// A random number differs from every earlier one, also if the row was deleted in between.
		_, err := tx.ExecContext(ctx, `
			INSERT INTO workers (id, beat, lease) VALUES ($1, $2, $3)
			ON CONFLICT (id) DO UPDATE SET beat = excluded.beat, lease = excluded.lease`, worker, rand.Int64(), lease.Milliseconds())
		if err != nil {
			return err
		}
		// Heartbeats observe all leases, so that a process that renews its own soon knows which others are lost.
		_, idle, err = s.watch.glance(ctx, tx)
		return err
	})
	if err == nil && len(idle) > 0 {
		err = s.dismiss(ctx, idle)
	}
	if err != nil {
		s.watch.interrupt()
	}
	return wrap("renew the lease of worker", worker, err)
}

// dismiss deletes the rows of workers that have not come back since their beat was seen.
func (s *Store) dismiss(ctx context.Context, idle []beat) error {
	return s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, b := range idle {
			if _, err := tx.ExecContext(ctx, `DELETE FROM workers WHERE id = $1 AND beat = $2`, b.worker, b.number); err != nil {
				return err
			}
		}
		return nil
	})
}

// ceilDuration rounds d up to whole milliseconds.
func ceilDuration(d time.Duration) time.Duration {
	if r := d.Truncate(time.Millisecond); r != d && d > 0 {
		return r + time.Millisecond
	}
	return d.Truncate(time.Millisecond)
}
