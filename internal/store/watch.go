package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"time"
)

// watch is what this process has seen of the leases of all workers.
//
// A lease is lost when its row has not changed for as long as the lease lasts, measured by the monotonic clock of the process that wants
// to take over. No time of one process is ever compared with a time of another, so a clock that is wrong, or that is set while the
// process runs, neither ends a lease early nor prolongs it. A process that has just started waits for the whole length of a lease.
//
// Why this is safe: a worker believes in its lease until a time that it computes before its heartbeat is stored. Whoever takes over has
// seen that heartbeat after it was stored, and waits for the same length from then on, so the worker has stopped before.
type watch struct {
	mu   sync.Mutex
	seen map[string]sighting // by worker; only of rows that were there at the last look
}

// sighting is a worker's row as this process saw it last.
type sighting struct {
	beat  int64
	lease time.Duration
	since time.Time // when this process saw this beat first; compared by the monotonic clock only
}

// look reads the leases in the transaction and returns the workers whose lease lasts. Those whose row has not changed for an hour
// longer than their lease are idle: their rows may go, because no row and a lost lease mean the same.
func (w *watch) look(ctx context.Context, tx *sql.Tx) (living, idle []any, err error) {
	type row struct {
		id          string
		beat, lease int64
	}
	rows, err := collect(ctx, tx, func(rows *sql.Rows) (r row, err error) { return r, rows.Scan(&r.id, &r.beat, &r.lease) },
		`SELECT id, beat, lease FROM workers ORDER BY id`)
	if err != nil {
		return nil, nil, fmt.Errorf("read leases: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	before := w.seen
	w.seen = make(map[string]sighting, len(rows))
	for _, r := range rows {
		s, known := before[r.id]
		if !known || s.beat != r.beat {
			s = sighting{beat: r.beat, since: now}
		}
		s.lease = time.Duration(r.lease) * time.Millisecond
		w.seen[r.id] = s
		switch quiet := now.Sub(s.since); {
		case quiet < s.lease:
			living = append(living, r.id)
		case quiet >= s.lease+forgotten:
			idle = append(idle, r.id)
		}
	}
	return living, idle, nil
}

// among is the condition that the column has one of n values, whose placeholders begin with the number first.
func among(column string, first, n int) string {
	if n == 0 {
		return "1 = 0"
	}
	marks := make([]string, n)
	for i := range marks {
		marks[i] = fmt.Sprintf("$%d", first+i)
	}
	return column + " IN (" + strings.Join(marks, ", ") + ")"
}
