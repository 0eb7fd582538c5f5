package store

import (
	"context"
	"database/sql"
	"time"
)

// batchRows is the number of rows that one transaction of a long change writes. It takes about 50 ms, which delays no heartbeat: they come
// every second.
const batchRows = 2000

// inBatches runs step in one transaction after another until it is done or fails. Between two transactions other writers get their turn:
// those of this process queue for its connection, and for those of other processes there is a pause.
func (s *Store) inBatches(ctx context.Context, step func(context.Context, *sql.Tx) (done bool, err error)) error {
	for {
		var began time.Time
		var done bool
		err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
			began = time.Now()
			done, err = step(ctx, tx)
			return err
		})
		if err != nil {
			return err
		}
		// SQLite has no queue for its lock: waiting processes try again from time to time. Without a pause of about the length of the
		// transaction they would find the lock taken for many seconds.
		if err := pause(ctx, time.Since(began)/2); err != nil || done {
			return err
		}
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// table is a table with rows of jobs. key is the column that distinguishes the rows of one job.
type table struct{ name, key string }

var (
	chunksTable   = table{"chunks", "n"}
	filesTable    = table{"files", "n"}
	segmentsTable = table{"segments", "key"}
	uploadsTable  = table{"uploads", "key"}
)

// deleteSome deletes at most batchRows rows of the job from a table, and returns how many.
func deleteSome(ctx context.Context, tx *sql.Tx, t table, job string) (int64, error) {
	r, err := tx.ExecContext(ctx, deleteQuery(t), job, batchRows)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// deleteQuery is the statement of deleteSome. MATERIALIZED keeps PostgreSQL from running the inner query, with its limit, more than once; the
// pair of columns makes it look each row up by the primary key.
func deleteQuery(t table) string {
	return `WITH batch AS MATERIALIZED (SELECT job, ` + t.key + ` FROM ` + t.name + ` WHERE job = $1 ORDER BY ` + t.key + ` LIMIT $2)
		DELETE FROM ` + t.name + ` WHERE (job, ` + t.key + `) IN (SELECT job, ` + t.key + ` FROM batch)`
}
