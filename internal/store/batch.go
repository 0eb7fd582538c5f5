package store

import (
	"context"
	"database/sql"
	"time"
)

// batchRows is how many rows one transaction of a long change writes. It takes some 50 ms, so that a heartbeat that waits for it is not
// late: heartbeats come every second.
const batchRows = 2000

// inBatches runs step in one transaction after another until it is done or fails. Between two transactions others get the writer: those of
// this process because they queue for its connection, and those of other processes because of a pause.
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
		// SQLite does not queue those that wait for its lock, they look for it now and then. Without a pause that is about as long as the
		// transaction was, they would find it taken again for many seconds.
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

// table is a table of rows of jobs, with the columns that tell the rows of one job apart.
type table struct{ name, key string }

var (
	chunksTable   = table{"chunks", "n"}
	filesTable    = table{"files", "n"}
	segmentsTable = table{"segments", "key"}
	uploadsTable  = table{"uploads", "key"}
)

// deleteSome deletes rows of the job from a table, one batch at most, and returns how many.
func deleteSome(ctx context.Context, tx *sql.Tx, t table, job string) (int64, error) {
	r, err := tx.ExecContext(ctx, deleteQuery(t), job, batchRows)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func deleteQuery(t table) string {
	return `DELETE FROM ` + t.name + ` WHERE job = $1 AND ` + t.key + ` IN (
		SELECT ` + t.key + ` FROM ` + t.name + ` WHERE job = $1 ORDER BY ` + t.key + ` LIMIT $2)`
}
