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
//
// While this process does not reach the database, it sees no heartbeats, and the others may not reach it either. After that it waits for the
// whole length again. Otherwise, after an outage, the first process to come back would take over the chunks of all others, and their records
// that are finished and not committed would be sent again.
type watch struct {
	mu    sync.Mutex
	seen  map[string]sighting // by worker, for the rows of the last look
	ended int                 // leases that this process has seen end
	next  time.Time           // when the next lease ends that is not renewed until then; zero: no lease lasts
	blind bool                // a heartbeat has failed since the last look

	looked time.Time // when the last look was
	living []any     // what it returned
}

// sighting is the latest observation of a worker's row.
type sighting struct {
	beat  int64
	lease time.Duration
	since time.Time // when this process first saw this beat; compared by the monotonic clock only
	lasts bool      // the lease lasted at the last look
}

// interrupt notes that the database could not be reached.
func (w *watch) interrupt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.blind = true
}

// Leases returns what this process has seen at its last look at the leases: how many have ended since its start, and when the next
// one ends if it is not renewed. The time is zero if no lease lasts. Every heartbeat is a look.
func (s *Store) Leases() (ended int, next time.Time) {
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	return s.watch.ended, s.watch.next
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
	w.seen, w.next = make(map[string]sighting, len(rows)), time.Time{}
	blind := w.blind
	w.blind = false
	for _, r := range rows {
		s, known := before[r.id]
		lasted := s.lasts
		if !known || s.beat != r.beat || blind && lasted {
			s = sighting{beat: r.beat, since: now}
		}
		s.lease = time.Duration(r.lease) * time.Millisecond
		quiet := now.Sub(s.since)
		if s.lasts = quiet < s.lease; lasted && !s.lasts {
			w.ended++
		}
		w.seen[r.id] = s
		switch {
		case s.lasts:
			living = append(living, r.id)
			if end := s.since.Add(s.lease); w.next.IsZero() || end.Before(w.next) {
				w.next = end
			}
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
