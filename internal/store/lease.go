package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/batholith/batholith"
)

// Claim leases to worker the first chunks of the job, n at most, that are pending or whose owner has no lease that lasts beyond
// now. Each has a new epoch, higher by one, so that whatever its owner before still commits is refused. The worker's own
// chunks are not among them before it releases them. A job that is sealed or not InProgress has none.
func (s *Store) Claim(ctx context.Context, worker, id string, n int, now time.Time) ([]batholith.Chunk, error) {
	// A worker that dies here never learns of its chunks. They are claimed again when its lease has run out, or at once when
	// it comes back under its name and releases them.
	var chunks []batholith.Chunk
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		j, err := s.lockJob(ctx, tx, id)
		if err != nil || j.sealed || j.status != batholith.StatusInProgress {
			return err
		}
		chunks, err = collect(ctx, tx, func(rows *sql.Rows) (batholith.Chunk, error) { return scanChunk(rows) },
			s.dialect.claim(), worker, id, millis(now), max(n, 0))
		return err
	})
	if err != nil {
		return nil, wrap("claim chunks of job", id, err)
	}
	// The order of the rows that an UPDATE returns is the database's own.
	slices.SortFunc(chunks, func(a, b batholith.Chunk) int { return cmp.Compare(a.N, b.N) })
	return chunks, nil
}

// claim reads the chunks that are not done by an index of their own: those before them cost nothing.
func (d dialect) claim() string {
	return `UPDATE chunks SET state = 'leased', owner = $1, epoch = epoch + 1
		WHERE job = $2 AND n IN (
			SELECT n FROM chunks WHERE job = $2 AND state <> 'done' AND (state = 'pending' OR owner <> $1 AND NOT EXISTS (
				SELECT 1 FROM workers WHERE id = chunks.owner AND lease_until > $3))
			ORDER BY n LIMIT $4` + d.skipLocked + `)
		RETURNING ` + chunkColumns
}

// gate is what says whether a job takes claims and commits.
type gate struct {
	status batholith.Status
	sealed bool
}

// lockJob reads a job's gate, which stays as it is until the transaction ends.
func (s *Store) lockJob(ctx context.Context, tx *sql.Tx, id string) (gate, error) {
	var g gate
	var sealed int
	err := tx.QueryRowContext(ctx, `SELECT status, sealed FROM jobs WHERE id = $1`+s.dialect.lock, id).Scan(&g.status, &sealed)
	g.sealed = sealed != 0
	return g, found(err)
}

// Release makes chunks pending again that the worker has leased: those of one job, or of every job when id is empty.
// What it commits of them from now on is refused.
func (s *Store) Release(ctx context.Context, worker, id string) error {
	return wrap("release chunks of worker", worker, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var err error
		if id == "" {
			_, err = tx.ExecContext(ctx, releaseQuery, worker)
		} else {
			_, err = tx.ExecContext(ctx, releaseQuery+releaseJob, worker, id)
		}
		return err
	}))
}

const (
	releaseQuery = `UPDATE chunks SET state = 'pending', owner = '' WHERE state = 'leased' AND owner = $1`
	releaseJob   = ` AND job = $2`
)

// forgotten is how long after its lease a worker's row is kept. No row and a lease that ran out mean the same.
const forgotten = time.Hour

// Heartbeat has the leases of the worker's chunks last until then. An earlier time than before gives them up.
func (s *Store) Heartbeat(ctx context.Context, worker string, until time.Time) error {
	return wrap("renew the lease of worker", worker, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO workers (id, lease_until) VALUES ($1, $2)
			ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until`, worker, millis(until))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM workers WHERE lease_until < $1`, millis(until.Add(-forgotten)))
		return err
	}))
}
