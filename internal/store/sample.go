package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/batholith/batholith"
)

// ClaimSample leases to worker those of n chunks that are pending, or whose owner has lost its lease. The n chunks are spread evenly over the
// job, and are always the same. passed is true if the job has no sample any more; then nothing is leased, nor from a job that is not claimed at
// all (see [Store.Claim]).
func (s *Store) ClaimSample(ctx context.Context, worker, id string, n int) (chunks []batholith.Chunk, passed bool, err error) {
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		chunks, passed = nil, false
		j, err := s.readGate(ctx, tx, id, "")
		if err != nil || j.sealed || j.paused || j.understands() != nil || j.status != batholith.StatusScheduled && j.status != batholith.StatusInProgress {
			return err
		}
		var all int
		if err := tx.QueryRowContext(ctx, `SELECT sampled > 0, (SELECT COALESCE(max(n), -1) + 1 FROM chunks WHERE job = $1) FROM jobs WHERE id = $1`, id).Scan(&passed, &all); err != nil || passed {
			return err
		}
		living, _, err := s.watch.look(ctx, tx)
		if err != nil {
			return err
		}
		undone := false
		for _, number := range spread(n, all) {
			chunk, err := scanChunk(tx.QueryRowContext(ctx, `
				UPDATE chunks SET state = 'leased', owner = $1, epoch = epoch + 1
				WHERE job = $2 AND n = $3 AND state <> 'done' AND (state = 'pending' OR owner <> $1 AND NOT `+among("owner", 4, len(living))+`)
				RETURNING `+chunkColumns, append([]any{worker, id, number}, living...)...))
			switch {
			case err == nil:
				chunks = append(chunks, chunk)
				continue
			case !errors.Is(err, sql.ErrNoRows):
				return err
			}
			var state string
			if err := tx.QueryRowContext(ctx, `SELECT state FROM chunks WHERE job = $1 AND n = $2`, id, number).Scan(&state); err != nil {
				return err
			}
			undone = undone || state != string(batholith.ChunkDone)
		}
		passed = len(chunks) == 0 && !undone
		return nil
	})
	return chunks, passed, wrap("claim the sample of job", id, err)
}

// spread returns up to n numbers below all, in even steps.
func spread(n, all int) (numbers []int) {
	for i := range n {
		numbers = append(numbers, i*all/n)
	}
	if all == 0 {
		return nil
	}
	return slices.Compact(numbers)
}

// PassSample stores that the job has no sample any more.
func (s *Store) PassSample(ctx context.Context, id string) error {
	if done, err := s.holds(ctx, `SELECT 1 FROM jobs WHERE id = $1 AND sampled > 0`, id); err != nil || done {
		return wrap("end the sample of job", id, err)
	}
	return wrap("end the sample of job", id, s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE jobs SET sampled = 1 WHERE id = $1`, id)
		return err
	}))
}
