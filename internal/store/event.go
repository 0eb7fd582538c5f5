package store

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"

	"github.com/batholith/batholith"
)

// The events are an outbox: a reader stores the number of the last event that it has read, and asks for those after it. It must never miss
// one, so an event may only become visible when all with smaller numbers are.
//
// In SQLite one transaction writes at a time, and the number is the one that the row gets when it is inserted (seq). In PostgreSQL a transaction
// that has inserted first may commit last. So seq gives the order of the events of one job only, and an event has no number when it is
// committed. Before events are read, number gives the next numbers to those that have none, in transactions that exclude each other. What
// it does not see is committed later and gets a greater number.

// insertEvent adds an event, in the transaction of its change. The job's row is locked, so that seq rises with each event of the job.
func insertEvent(ctx context.Context, tx *sql.Tx, id string, status batholith.Status, message string, at int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO events (job, status, message, at) VALUES ($1, $2, $3, $4)`,
		id, string(status), message, at)
	return err
}

// Events returns up to limit changes of the status of any job, in order, after the change numbered seq. A reader that stores the last
// number sees every change, and in order.
func (s *Store) Events(ctx context.Context, seq int64, limit int) ([]batholith.Change, error) {
	query := serialEventsQuery
	if !s.dialect.serial() {
		query = eventsQuery
		if err := s.number(ctx); err != nil {
			return nil, wrap("number", "events", err)
		}
	}
	cs, err := read(ctx, s, func(rows *sql.Rows) (batholith.Change, error) {
		var n int64
		c, err := scanEvent(rows, &n)
		c.Seq = n
		return c, err
	}, query, seq, limit)
	return cs, wrap("read", "events", err)
}

// The statements of Events and of number.
const (
	serialEventsQuery = `SELECT job, status, message, at, seq FROM events WHERE seq > $1 ORDER BY seq LIMIT $2`
	eventsQuery       = `SELECT job, status, message, at, number FROM events WHERE number > $1 ORDER BY number LIMIT $2`
	unnumberedQuery   = `SELECT 1 FROM events WHERE number IS NULL LIMIT 1`
	numberLock        = `INSERT INTO outbox (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = outbox.id`
	// Programs of older versions store no last number.
	numberQuery = `WITH next AS (
			SELECT seq, row_number() OVER (ORDER BY seq) AS k FROM (SELECT seq FROM events WHERE number IS NULL ORDER BY seq LIMIT $1) AS fresh)
		UPDATE events SET number = next.k + (SELECT GREATEST(last, (SELECT COALESCE(max(number), 0) FROM events)) FROM outbox WHERE id = 1) FROM next WHERE events.seq = next.seq`
	lastQuery = `UPDATE outbox SET last = GREATEST(last, (SELECT COALESCE(max(number), 0) FROM events)) WHERE id = 1`
)

// number gives numbers to all committed events that have none.
func (s *Store) number(ctx context.Context) error {
	if some, err := s.holds(ctx, unnumberedQuery); err != nil || !some {
		return err
	}
	return s.inBatches(ctx, func(ctx context.Context, tx *sql.Tx) (bool, error) {
		// One transaction at a time. The next statement sees what was committed until the lock was taken.
		if err := s.lockNumbers(ctx, tx); err != nil {
			return false, err
		}
		r, err := tx.ExecContext(ctx, numberQuery, batchRows)
		if err != nil {
			return false, err
		}
		n, err := r.RowsAffected()
		if err == nil {
			_, err = tx.ExecContext(ctx, lastQuery)
		}
		return n < batchRows, err
	})
}

// History returns the changes of one job's status, oldest first, without their numbers.
func (s *Store) History(ctx context.Context, id string) ([]batholith.Change, error) {
	cs, err := read(ctx, s, func(rows *sql.Rows) (batholith.Change, error) { return scanEvent(rows) },
		`SELECT job, status, message, at FROM events WHERE job = $1 ORDER BY seq`, id)
	return cs, wrap("read the history of job", id, err)
}

// scanEvent reads a row of History, and the columns after it into more.
func scanEvent(rows *sql.Rows, more ...any) (batholith.Change, error) {
	var c batholith.Change
	var at int64
	err := rows.Scan(append([]any{&c.Job, &c.Status, &c.Message, &at}, more...)...)
	c.At = fromMillis(at)
	return c, err
}

// The events of one account are found by the table account_events, which has the account of each event by its number. It is filled before it
// is read, in the order of the numbers, so that the greatest one in it says how far it goes:
//
//	placed = events with a number ≤ max(account_events.n)
//
// Events of erased jobs are removed from both tables in one transaction, so that this stays true.

// AccountEvents returns up to limit changes of the jobs of an account with numbers below before, newest first; before 0: the latest. The numbers are
// those of Events. Its time does not grow with the events of other accounts, except for the first call after an upgrade.
func (s *Store) AccountEvents(ctx context.Context, account string, before int64, limit int) ([]batholith.Change, error) {
	if before <= 0 {
		before = math.MaxInt64
	}
	query := walkedEventsQuery
	placed, err := s.placeEvents(ctx)
	if err != nil {
		return nil, wrap("place", "events", err)
	}
	if placed {
		query = accountEventsQuery
	}
	cs, err := read(ctx, s, func(rows *sql.Rows) (batholith.Change, error) {
		var n int64
		c, err := scanEvent(rows, &n)
		c.Seq = n
		return c, err
	}, s.numbered(query), account, before, limit)
	return cs, wrap("read the events of account", account, err)
}

// The statements of AccountEvents. %s is the column with the number of an event. walkedEventsQuery passes the events of other accounts.
const (
	accountEventsQuery = `SELECT e.job, e.status, e.message, e.at, a.n FROM account_events a JOIN events e ON e.%[1]s = a.n
		WHERE a.account = $1 AND a.n < $2 ORDER BY a.n DESC LIMIT $3`
	walkedEventsQuery = `SELECT e.job, e.status, e.message, e.at, e.%[1]s FROM events e JOIN jobs j ON j.id = e.job
		WHERE j.account = $1 AND e.%[1]s < $2 ORDER BY e.%[1]s DESC LIMIT $3`
	unplacedQuery = `SELECT 1 FROM events WHERE %[1]s > (SELECT COALESCE(max(n), 0) FROM account_events) LIMIT 1`
	placeQuery    = `INSERT INTO account_events (n, account) SELECT e.%[1]s, j.account FROM events e JOIN jobs j ON j.id = e.job
		WHERE e.%[1]s > (SELECT COALESCE(max(n), 0) FROM account_events) ORDER BY e.%[1]s LIMIT $1`
	unplaceQuery = `DELETE FROM account_events WHERE n IN (SELECT %[1]s FROM events WHERE job = $1)`
)

// numbered is a statement with the column that has the numbers of events.
func (s *Store) numbered(query string) string {
	if s.dialect.serial() {
		return fmt.Sprintf(query, "seq")
	}
	return fmt.Sprintf(query, "number")
}

// placeBatches bounds the transactions of one call of placeEvents.
const placeBatches = 10

// placeEvents fills account_events. all is false if there are more events left than one call takes, which happens only after an upgrade.
func (s *Store) placeEvents(ctx context.Context) (all bool, err error) {
	if !s.dialect.serial() {
		if err := s.number(ctx); err != nil {
			return false, err
		}
	}
	if some, err := s.holds(ctx, s.numbered(unplacedQuery)); err != nil || !some {
		return err == nil, err
	}
	batches := 0
	err = s.inBatches(ctx, func(ctx context.Context, tx *sql.Tx) (bool, error) {
		if err := s.lockNumbers(ctx, tx); err != nil {
			return false, err
		}
		r, err := tx.ExecContext(ctx, s.numbered(placeQuery), batchRows)
		if err != nil {
			return false, err
		}
		n, err := r.RowsAffected()
		batches++
		all = n < batchRows
		return all || batches == placeBatches, err
	})
	return all, err
}

// unplaceEvents removes the events of a job from account_events, in the transaction that deletes them.
func (s *Store) unplaceEvents(ctx context.Context, tx *sql.Tx, id string) error {
	if err := s.lockNumbers(ctx, tx); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, s.numbered(unplaceQuery), id)
	return err
}

// lockNumbers makes the transactions that number or place events exclude each other.
func (s *Store) lockNumbers(ctx context.Context, tx *sql.Tx) error {
	if s.dialect.serial() {
		return nil
	}
	_, err := tx.ExecContext(ctx, numberLock)
	return err
}

// DeleteEvents deletes the events of jobs that have ended, if they are older than age and every receiver has got them. It returns how many were
// deleted. The numbers of deleted events are not given again.
func (s *Store) DeleteEvents(ctx context.Context, age time.Duration) (deleted int64, err error) {
	bound, got := int64(0), int64(math.MaxInt64)
	if !s.dialect.serial() {
		if err := s.number(ctx); err != nil { // nobody may have read them
			return 0, wrap("number", "events", err)
		}
	}
	err = s.reads(ctx, func(ctx context.Context, db queryer) error {
		now, err := s.at(ctx, db, time.Now())
		if err != nil {
			return err
		}
		bound = millis(now.Add(-age))
		cursors, err := collect(ctx, db, func(rows *sql.Rows) (n int64, err error) { return n, rows.Scan(&n) }, `SELECT seq FROM receivers`)
		for _, n := range cursors {
			got = min(got, n)
		}
		return err
	})
	// The times rise with the events, but for the order of transactions. So the first page without an old event is the last.
	for from, more := int64(0), true; more && err == nil; {
		var page []oldEvent
		page, err = read(ctx, s, func(rows *sql.Rows) (e oldEvent, err error) { return e, rows.Scan(&e.seq, &e.number, &e.at, &e.active) }, s.numbered(oldEventsQuery), from, batchRows)
		more = false
		var old []oldEvent
		for _, e := range page {
			from = e.seq
			if e.at > bound {
				continue
			}
			more = len(page) == batchRows
			if e.active == 0 && e.number > 0 && e.number <= got {
				old = append(old, e)
			}
		}
		if err == nil && len(old) > 0 {
			err = s.deleteEvents(ctx, old)
		}
		if err == nil {
			deleted += int64(len(old))
		}
	}
	return deleted, wrap("delete", "old events", err)
}

// oldEvent is an event that may be old.
type oldEvent struct {
	seq, number, at int64
	active          int
}

// oldEventsQuery reads a page of all events.
const oldEventsQuery = `SELECT e.seq, COALESCE(e.%[1]s, 0), e.at, j.active FROM events e JOIN jobs j ON j.id = e.job WHERE e.seq > $1 ORDER BY e.seq LIMIT $2`

// deleteEvents deletes events in one transaction, from both tables (see account_events above).
func (s *Store) deleteEvents(ctx context.Context, old []oldEvent) error {
	seqs, numbers := make([]any, len(old)), make([]any, len(old))
	for i, e := range old {
		seqs[i], numbers[i] = e.seq, e.number
	}
	return s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.lockNumbers(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM account_events WHERE `+among("n", 1, len(numbers)), numbers...); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM events WHERE `+among("seq", 1, len(seqs)), seqs...)
		return err
	})
}
