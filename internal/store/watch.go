package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// watch holds this process's observations of the leases of all workers.
//
// A lease is lost if its row has not changed for the length of the lease, by the monotonic clock of the process that wants
// to take over. Times of two processes are never compared, so a wrong clock, or one that is set while the
// process runs, neither shortens nor prolongs a lease. A process that has just started waits for the whole length of a lease.
//
// This is safe: a worker computes the end of its lease before its heartbeat is stored. Another process sees that heartbeat after it was
// stored, and waits for the same length from then on. So the worker has stopped when the other process takes over.
type watch struct {
	mu   sync.Mutex
	seen map[string]sighting // by worker, for the rows of the last look

	looked time.Time // when the last look was
	living []any     // what it returned
}

// sighting is the latest observation of a worker's row.
type sighting struct {
	beat  int64
	lease time.Duration
	since time.Time // when this process first saw this beat; compared by the monotonic clock only
}

// beat is a heartbeat of a worker: a number that is another with each.
type beat struct {
	worker string
	number int64
}

// Each worker looks at the rows of all workers: n workers read n² rows. Up to fewWorkers, every glance reads them. With more workers the
// time between two looks grows by glancePerRow for each row, so that n workers read at most n × 200 rows a second.
const (
	fewWorkers   = 200
	glancePerRow = 5 * time.Millisecond
)

// glance is look for callers that need no fresh answer: to see which leases end, and to show which processes there are. With many
// workers it returns what the last look found, without idle workers. Whoever takes something over must use look: a worker may have renewed
// its lease since the last one.
func (w *watch) glance(ctx context.Context, db queryer) (living []any, idle []beat, err error) {
	w.mu.Lock()
	recent := len(w.seen) > fewWorkers && time.Since(w.looked) < time.Duration(len(w.seen))*glancePerRow
	living = slices.Clone(w.living)
	w.mu.Unlock()
	if recent {
		return living, nil, nil
	}
	return w.look(ctx, db)
}

// look reads the leases, in a transaction or outside. It returns the workers whose lease lasts, and the idle ones, whose row has not changed for an
// hour longer than their lease, with the beat that was seen. Rows of idle workers may be deleted, since a missing row means the same as a lost
// lease.
func (w *watch) look(ctx context.Context, db queryer) (living []any, idle []beat, err error) {
	type row struct {
		id          string
		beat, lease int64
	}
	rows, err := collect(ctx, db, func(rows *sql.Rows) (r row, err error) { return r, rows.Scan(&r.id, &r.beat, &r.lease) },
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
			idle = append(idle, beat{r.id, r.beat})
		}
	}
	w.looked, w.living = now, slices.Clone(living)
	return living, idle, nil
}

// among is the condition that the column has one of n values, whose placeholders start at number first.
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
