package store

import (
	"context"
	"database/sql"

	"github.com/batholith/batholith"
)

// The statements of lockChunks and unnestDone. Each is one round trip, however many chunks there are.
const (
	lockChunksQuery = `SELECT ` + chunkColumns + ` FROM chunks WHERE job = $1 AND n = ANY($2::bigint[]) ORDER BY n FOR NO KEY UPDATE`
	unnestDoneQuery = `UPDATE chunks SET done = it.done, state = it.state
		FROM unnest($2::bigint[], $3::bytea[], $4::text[]) AS it (n, done, state) WHERE chunks.job = $1 AND chunks.n = it.n`
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
