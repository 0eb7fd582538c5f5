package store

import (
	"context"
	"database/sql"

	"github.com/batholith/batholith"
)

// The statements of lockChunks and unnestDone. Each is one round trip, however many chunks there are.
const (
	// The inner query is run for each number, in their order. As a join or a condition on n, the planner might read all chunks of the job.
	lockChunksQuery = `SELECT ` + chunkColumns + ` FROM unnest($2::bigint[]) AS it (number), LATERAL (
		SELECT ` + chunkColumns + ` FROM chunks WHERE job = $1 AND n = it.number FOR NO KEY UPDATE) AS c`
	// The job's id comes with each number for the same reason.
	unnestDoneQuery = `WITH it AS MATERIALIZED (SELECT $1::text AS job, n, done, state FROM unnest($2::bigint[], $3::bytea[], $4::text[]) AS it (n, done, state))
		UPDATE chunks SET done = it.done, state = it.state FROM it WHERE chunks.job = it.job AND chunks.n = it.n`
)

// lockChunks reads chunks of a job and locks them in the order of their numbers.
func lockChunks(ctx context.Context, tx *sql.Tx, job string, numbers []int) ([]batholith.Chunk, error) {
	ns := make([]int64, len(numbers))
	for i, n := range numbers {
		ns[i] = int64(n)
	}
	return collect(ctx, tx, func(rows *sql.Rows) (batholith.Chunk, error) { return scanChunk(rows) }, lockChunksQuery, job, ns)
}

// unnestDone stores the state and the done records of chunks.
func unnestDone(ctx context.Context, tx *sql.Tx, job string, chunks []*batholith.Chunk) error {
	ns, done, states := make([]int64, len(chunks)), make([][]byte, len(chunks)), make([]string, len(chunks))
	for i, c := range chunks {
		ns[i], done[i], states[i] = int64(c.N), c.Done, string(c.State)
	}
	_, err := tx.ExecContext(ctx, unnestDoneQuery, job, ns, done, states)
	return err
}
