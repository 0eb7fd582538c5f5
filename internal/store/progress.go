package store

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/batholith/batholith"
)

// The counters of a job are in two places:
//
//	counter = column of the job's row + sum of the same column over the job's rows in progress
//
// A commit adds to the row of its worker in progress, and writes no row of another worker nor of the job. So commits of several workers
// never wait for each other. When the job is sealed or becomes terminal, fold adds the sums to the job's row and deletes the rows of
// progress, in one transaction. Every read takes both parts in one statement, which sees either the rows or the folded sum. So a counter
// never falls.
//
// A row of progress is also the gate of its worker. It exists only while the job accepts commits: the first commit of a worker makes it under
// a shared lock of the job's row, and fold deletes it. A later commit updates it, which fails if it is gone, and otherwise keeps fold
// waiting until the commit ends.

// The counters, as columns of jobs and of progress.
var (
	countColumns  = []string{"processed", "succeeded", "errored"}
	tokenColumns  = []string{"input", "output", "cache_read", "cache_write"}
	ledgerColumns = []string{"attempts", "repeats", "reissued", "reused", "canaries", "invalid", "refused", "exhausted",
		"wasted_input", "wasted_output", "wasted_cache_read", "wasted_cache_write"}
	allCounters = join(countColumns, tokenColumns, ledgerColumns)
)

// join is all the columns.
func join(lists ...[]string) (all []string) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// The members of the counters, in the order of their columns.
func countMembers(c *batholith.Counts) []*int64 {
	return []*int64{&c.Processed, &c.Succeeded, &c.Errored}
}

func tokenMembers(t *batholith.Tokens) []*int64 {
	return []*int64{&t.Input, &t.Output, &t.CacheRead, &t.CacheWrite}
}

func ledgerMembers(l *batholith.Ledger) []*int64 {
	return append([]*int64{&l.Attempts, &l.Repeats, &l.Reissued, &l.Reused, &l.Canaries, &l.Outcomes.Invalid, &l.Outcomes.Refused, &l.Outcomes.Exhausted},
		tokenMembers(&l.Wasted)...)
}

// sums is an expression in a query of jobs: the sums of columns of progress, and the latest time of a commit, as one text; NULL if there are
// no rows. A terminal job has none, and is not looked up. [adding] reads the text.
//
// A sum of two 64-bit numbers may be too large for SQL, so the high and the low 32 bits are added up separately.
func sums(columns ...string) string {
	var b strings.Builder
	b.WriteString(`CASE WHEN active = 1 THEN (SELECT `)
	for _, c := range columns {
		fmt.Fprintf(&b, `sum(%[1]s >> 32) || ' ' || sum(%[1]s & 4294967295) || ' ' || `, c)
	}
	b.WriteString(`max(modified) FROM progress WHERE progress.job = jobs.id) END`)
	return b.String()
}

// adding is a column of sums. Its Scan adds the sums to counters that were scanned before it: see [batholith.Sum].
type adding struct {
	to       []*int64
	modified *int64 // becomes the time of the latest commit, if that is later; nil: not wanted
}

// Scan implements [sql.Scanner].
func (a adding) Scan(v any) error {
	var text string
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		text = v
	case []byte:
		text = string(v)
	}
	fields := strings.Fields(text)
	if len(fields) != 2*len(a.to)+1 {
		return fmt.Errorf("the sums of %d counters are %q", len(a.to), text)
	}
	numbers := make([]int64, len(fields))
	for i, f := range fields {
		var err error
		if numbers[i], err = strconv.ParseInt(f, 10, 64); err != nil {
			return fmt.Errorf("read a counter: %w", err)
		}
	}
	for i, to := range a.to {
		*to = batholith.Sum(*to, joined(numbers[2*i], numbers[2*i+1]))
	}
	if a.modified != nil {
		*a.modified = max(*a.modified, numbers[len(numbers)-1])
	}
	return nil
}

// joined is a sum of which the high and the low 32 bits were added up separately; at most 2^63-1.
func joined(high, low int64) int64 {
	high += low >> 32
	if high > math.MaxInt32 {
		return math.MaxInt64
	}
	return high<<32 | low&math.MaxUint32
}

// addition is the assignment that adds to a column. A sum that does not fit becomes 2^63-1. Otherwise SQL would use floating point or fail,
// and a commit that fails because of one absurd number from a model server would be retried for ever.
func addition(column, old, more string) string {
	return fmt.Sprintf("%[1]s = CASE WHEN %[2]s > 9223372036854775807 - %[3]s THEN 9223372036854775807 ELSE %[2]s + %[3]s END", column, old, more)
}

// The statements of count and fold. Their arguments are the counters, the time, and the keys.
var (
	modifiedArg, jobArg, workerArg = len(allCounters) + 1, len(allCounters) + 2, len(allCounters) + 3

	countQuery    = addTo("progress") + fmt.Sprintf(" WHERE job = $%d AND worker = $%d", jobArg, workerArg)
	foldQuery     = addTo("jobs") + fmt.Sprintf(" WHERE id = $%d", jobArg)
	progressQuery = `DELETE FROM progress WHERE job = $1 RETURNING ` + strings.Join(allCounters, ", ") + `, modified`
	firstQuery    = func() string {
		var marks, set []string
		for i, c := range allCounters {
			marks = append(marks, fmt.Sprintf("$%d", i+1))
			set = append(set, addition(c, "progress."+c, "excluded."+c))
		}
		return `INSERT INTO progress (` + strings.Join(allCounters, ", ") + `, modified, job, worker) VALUES (` + strings.Join(marks, ", ") +
			fmt.Sprintf(", $%d, $%d, $%d)", modifiedArg, jobArg, workerArg) + ` ON CONFLICT (job, worker) DO UPDATE SET ` + strings.Join(set, ", ") +
			`, modified = CASE WHEN progress.modified > excluded.modified THEN progress.modified ELSE excluded.modified END`
	}()
)

// addTo is the statement that adds to the counters of a table, without its condition.
func addTo(table string) string {
	var set []string
	for i, c := range allCounters {
		set = append(set, addition(c, c, fmt.Sprintf("$%d", i+1)))
	}
	return `UPDATE ` + table + ` SET ` + strings.Join(set, ", ") + fmt.Sprintf(", modified = CASE WHEN modified > $%[1]d THEN modified ELSE $%[1]d END", modifiedArg)
}

// values are the arguments for all counters. Add raises negative values to 0.
func values(c batholith.Counts, t batholith.Tokens, l batholith.Ledger) []any {
	t, l = t.Add(batholith.Tokens{}), l.Add(batholith.Ledger{})
	all := make([]any, 0, len(allCounters)+3)
	for _, members := range [][]*int64{countMembers(&c), tokenMembers(&t), ledgerMembers(&l)} {
		for _, m := range members {
			all = append(all, *m)
		}
	}
	return all
}

// count adds the counters of a commit to its worker's row, and keeps the job's gate open until the transaction ends. It returns
// [batholith.ErrSealed] if the gate is closed, or errUnchanged if it is closed and the commit was applied before.
func (s *Store) count(ctx context.Context, tx *sql.Tx, c batholith.Commit) error {
	now, err := s.now(ctx, tx)
	if err != nil {
		return err
	}
	id := c.Segment.Job
	args := append(values(c.Counts, c.Tokens, c.Ledger), millis(now), id, c.Worker)
	r, err := tx.ExecContext(ctx, countQuery, args...)
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n > 0 {
		return err
	}
	// It is the worker's first commit, or the job is sealed or terminal.
	g, err := s.readGate(ctx, tx, id, s.dialect.lockShared)
	if err != nil {
		return err
	}
	if g.sealed || g.status != batholith.StatusInProgress && g.status != batholith.StatusStopping {
		if known, err := hasSegment(ctx, tx, id, c.Segment.Key); err != nil {
			return err
		} else if known {
			return errUnchanged
		}
		return batholith.ErrSealed
	}
	_, err = tx.ExecContext(ctx, firstQuery, args...)
	return err
}

// fold adds the rows of progress to the job's row and deletes them. The transaction has locked the job's row, and closes the gate. So no new
// row can appear, and the deletion waits for the commits that have a row.
func fold(ctx context.Context, tx *sql.Tx, id string) error {
	type row struct {
		counts   batholith.Counts
		tokens   batholith.Tokens
		ledger   batholith.Ledger
		modified int64
	}
	rows, err := collect(ctx, tx, func(rows *sql.Rows) (r row, err error) {
		return r, rows.Scan(pointers(countMembers(&r.counts), tokenMembers(&r.tokens), ledgerMembers(&r.ledger), []*int64{&r.modified})...)
	}, progressQuery, id)
	if err != nil || len(rows) == 0 {
		return err
	}
	var sum row
	for _, r := range rows {
		sum.counts, sum.tokens, sum.ledger = sum.counts.Add(r.counts), sum.tokens.Add(r.tokens), sum.ledger.Add(r.ledger)
		sum.modified = max(sum.modified, r.modified)
	}
	_, err = tx.ExecContext(ctx, foldQuery, append(values(sum.counts, sum.tokens, sum.ledger), sum.modified, id)...)
	return err
}

// countsQuery reads the counters of a job.
var countsQuery = `SELECT total, ` + strings.Join(countColumns, ", ") + `, ` + sums(countColumns...) + ` FROM jobs WHERE id = $1`

// scanCounts reads a row of countsQuery.
func scanCounts(rows *sql.Rows) (c batholith.Counts, err error) {
	members := countMembers(&c)
	return c, rows.Scan(append(pointers([]*int64{&c.Total}, members), adding{to: members})...)
}

// pointers are the members as destinations of a Scan.
func pointers(lists ...[]*int64) (to []any) {
	for _, l := range lists {
		for _, m := range l {
			to = append(to, m)
		}
	}
	return to
}

// ledgerQuery is the statement of Ledger.
var ledgerQuery = `SELECT ` + strings.Join(ledgerColumns, ", ") + `, ` + sums(ledgerColumns...) + ` FROM jobs WHERE id = $1`

// Ledger returns the job's sums over its committed records: attempts, error lines by kind, wasted tokens.
func (s *Store) Ledger(ctx context.Context, id string) (batholith.Ledger, error) {
	l, err := one(read(ctx, s, func(rows *sql.Rows) (l batholith.Ledger, err error) {
		members := ledgerMembers(&l)
		return l, rows.Scan(append(pointers(members), adding{to: members})...)
	}, ledgerQuery, id))
	return l, wrap("read the ledger of job", id, err)
}

// one is the only row of a query, or [batholith.ErrNotFound].
func one[T any](rows []T, err error) (row T, _ error) {
	switch {
	case err != nil:
		return row, err
	case len(rows) == 0:
		return row, batholith.ErrNotFound
	}
	return rows[0], nil
}
