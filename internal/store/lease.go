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

// Claim leases to worker the first chunks of the job, n at most, that are pending or whose owner has lost its lease. Each gets a new epoch,
// higher by one, so that a commit of the previous owner is refused. The worker's own chunks are not among them before it releases them.
// A job that is sealed, or neither Scheduled nor InProgress, has none. One that is Scheduled is claimed so that its first record can be sent
// as soon as it has begun; a commit of it is refused until then.
//
// Whether a lease is lost is decided by what this process has seen of it ([watch]). The caller's time is not used: its clock may be wrong.
func (s *Store) Claim(ctx context.Context, worker, id string, n int, _ time.Time) ([]batholith.Chunk, error) {
	// If the worker dies here, it never learns of its chunks. They are claimed again when its lease is lost, or at once when
	// it comes back under its name and releases them.
	if none, err := s.holds(ctx, noneToClaimQuery, id, worker); err != nil || none {
		return nil, wrap("claim chunks of job", id, err)
	}
	var chunks []batholith.Chunk
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		j, err := s.lockJob(ctx, tx, id)
		if err != nil || j.sealed || j.status != batholith.StatusScheduled && j.status != batholith.StatusInProgress {
			return err
		}
		living, _, err := s.watch.look(ctx, tx)
		if err != nil {
			return err
		}
		chunks, err = collect(ctx, tx, func(rows *sql.Rows) (batholith.Chunk, error) { return scanChunk(rows) },
			s.dialect.claim(len(living)), append([]any{worker, id, max(n, 0)}, living...)...)
		return err
	})
	if err != nil {
		return nil, wrap("claim chunks of job", id, err)
	}
	// The order of the rows that an UPDATE returns is the database's own.
	slices.SortFunc(chunks, func(a, b batholith.Chunk) int { return cmp.Compare(a.N, b.N) })
	return chunks, nil
}

// Nearly every job is asked once more for chunks than it has, and released without any. A look spares that the transaction, for which
// others would wait. What a look finds is as old as a transaction's before it.
const (
	noneToClaimQuery = `SELECT 1 FROM jobs WHERE id = $1 AND NOT EXISTS (
		SELECT 1 FROM chunks WHERE job = $1 AND state <> 'done' AND (state = 'pending' OR owner <> $2))`
	leasedOfJobQuery = `SELECT 1 FROM chunks WHERE state = 'leased' AND owner = $1 AND job = $2 LIMIT 1`
)

// holds tells whether a query has a row.
func (s *Store) holds(ctx context.Context, query string, args ...any) (bool, error) {
	rows, err := read(ctx, s, func(rows *sql.Rows) (n int, err error) { return n, rows.Scan(&n) }, query, args...)
	return len(rows) > 0, err
}

// claim is the statement of Claim beside so many living workers. It finds the chunks that are not done by an index of their own: the
// others cost nothing.
func (d dialect) claim(living int) string {
	return `UPDATE chunks SET state = 'leased', owner = $1, epoch = epoch + 1
		WHERE job = $2 AND n IN (
			SELECT n FROM chunks WHERE job = $2 AND state <> 'done' AND (state = 'pending' OR owner <> $1 AND NOT ` + among("owner", 4, living) + `)
			ORDER BY n LIMIT $3` + d.skipLocked + `)
		RETURNING ` + chunkColumns
}

// gate is what says whether a job takes claims and commits.
type gate struct {
	status batholith.Status
	sealed bool
	kept   bool // results of it are kept
}

// lockJob reads a job's gate, which stays as it is until the transaction ends.
func (s *Store) lockJob(ctx context.Context, tx *sql.Tx, id string) (gate, error) {
	var g gate
	var sealed int
	err := tx.QueryRowContext(ctx, `SELECT status, sealed, kept <> '' FROM jobs WHERE id = $1`+s.dialect.lock, id).Scan(&g.status, &sealed, &g.kept)
	g.sealed = sealed != 0
	return g, found(err)
}

// Release makes chunks pending again that the worker has leased: those of one job, or of every job when id is empty.
// What it commits of them from now on is refused. Many chunks are released in several transactions; after an error some may be released.
func (s *Store) Release(ctx context.Context, worker, id string) error {
	if id != "" {
		if some, err := s.holds(ctx, leasedOfJobQuery, worker, id); err != nil || !some {
			return wrap("release chunks of worker", worker, err)
		}
	}
	return wrap("release chunks of worker", worker, s.inBatches(ctx, func(ctx context.Context, tx *sql.Tx) (bool, error) {
		query, args := releaseQuery, []any{worker, batchRows}
		if id != "" {
			query, args = releaseOfJobQuery, append(args, id)
		}
		r, err := tx.ExecContext(ctx, query, args...)
		if err != nil {
			return false, err
		}
		n, err := r.RowsAffected()
		return n < batchRows, err
	}))
}

// Both read the partial index of leased chunks.
const (
	releaseQuery      = `UPDATE chunks SET state = 'pending', owner = '' WHERE (job, n) IN (SELECT job, n FROM chunks WHERE state = 'leased' AND owner = $1 LIMIT $2)`
	releaseOfJobQuery = `UPDATE chunks SET state = 'pending', owner = '' WHERE (job, n) IN (SELECT job, n FROM chunks WHERE state = 'leased' AND owner = $1 AND job = $3 LIMIT $2)`
)

// forgotten is how long a worker's row is kept after its lease was lost.
const forgotten = time.Hour

// Heartbeat renews the leases of the worker's chunks: they last from now on for as long as it is until then by the clock of this process.
// Another process measures this length by its own clock. A time that is not in the future gives the leases up.
func (s *Store) Heartbeat(ctx context.Context, worker string, until time.Time) error {
	// The length is taken before the wait for the transaction, so the stored lease never ends before the time that the caller believes in.
	lease := max(ceilDuration(time.Until(until)), 0)
	return wrap("renew the lease of worker", worker, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		// A random beat differs from every beat before, also when the row was deleted in between.
		_, err := tx.ExecContext(ctx, `
			INSERT INTO workers (id, beat, lease) VALUES ($1, $2, $3)
			ON CONFLICT (id) DO UPDATE SET beat = excluded.beat, lease = excluded.lease`, worker, rand.Int64(), lease.Milliseconds())
		if err != nil {
			return err
		}
		// Every heartbeat looks at all leases, so a process that renews its own knows soon which of the others are lost.
		_, idle, err := s.watch.look(ctx, tx)
		if err != nil || len(idle) == 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM workers WHERE `+among("id", 1, len(idle)), idle...)
		return err
	}))
}

// ceilDuration rounds d up to whole milliseconds.
func ceilDuration(d time.Duration) time.Duration {
	if r := d.Truncate(time.Millisecond); r != d && d > 0 {
		return r + time.Millisecond
	}
	return d.Truncate(time.Millisecond)
}
