package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/batholith/batholith"
)

// The counters of job_usage, in the order of spentMembers.
var spentColumns = []string{"records", "errored", "attempts", "repeats", "canaries", "input", "output", "cache_read", "cache_write",
	"wasted_input", "wasted_output", "wasted_cache_read", "wasted_cache_write"}

func spentMembers(s *batholith.Spent) []*int64 {
	return append([]*int64{&s.Records, &s.Errors, &s.Attempts, &s.Repeats, &s.Canaries}, append(tokenMembers(&s.Tokens), tokenMembers(&s.Wasted)...)...)
}

// spendQuery adds a commit to the row of its job, day, worker and price. Only this worker writes the row, so no commit waits for another's.
var spendQuery = func() string {
	var marks, set []string
	for i, c := range spentColumns {
		marks = append(marks, fmt.Sprintf("CAST($%d AS BIGINT)", i+5))
		set = append(set, addition(c, "job_usage."+c, "excluded."+c))
	}
	return `INSERT INTO job_usage (job, day, worker, price, account, principal, model, ` + strings.Join(spentColumns, ", ") + `)
		SELECT id, CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT), account, owner, model, ` + strings.Join(marks, ", ") + ` FROM jobs WHERE id = $1
		ON CONFLICT (job, day, worker, price) DO UPDATE SET ` + strings.Join(set, ", ")
}()

// spend adds what a commit took, in its transaction.
func (s *Store) spend(ctx context.Context, tx *sql.Tx, c batholith.Commit) error {
	now, err := s.now(ctx, tx)
	if err != nil {
		return err
	}
	spent := batholith.Spent{Records: c.Counts.Processed, Errors: c.Counts.Errored, Attempts: c.Ledger.Attempts, Repeats: c.Ledger.Repeats,
		Canaries: c.Ledger.Canaries, Tokens: c.Tokens, Wasted: c.Ledger.Wasted}.Add(batholith.Spent{}) // Add raises negative values to 0
	args := []any{c.Segment.Job, batholith.DayOf(now), c.Worker, c.Price}
	for _, m := range spentMembers(&spent) {
		args = append(args, *m)
	}
	_, err = tx.ExecContext(ctx, spendQuery, args...)
	return err
}

// halves are the sums of columns, the high and the low 32 bits of each apart: a sum of two 64-bit numbers may be too large for SQL. See [joined].
func halves(columns ...string) string {
	var b strings.Builder
	for _, c := range columns {
		fmt.Fprintf(&b, ", sum(%[1]s >> 32), sum(%[1]s & 4294967295)", c)
	}
	return b.String()
}

var spentSums = halves(spentColumns...)

// spentQuery is the statement of Spent, with its arguments.
func spentQuery(q batholith.SpentQuery) (query string, args []any) {
	var names []string
	name := func(by bool, column string) string {
		if !by {
			return "''"
		}
		names = append(names, column)
		return column
	}
	day := "0"
	if q.ByDay {
		day, names = "day", append(names, "day")
	}
	columns := []string{day, name(q.ByPrincipal, "principal"), name(q.ByModel, "model"), name(q.ByJob, "job"), "price"}
	where := []string{"account = $1", "day >= $2"}
	args = []any{q.Account, q.Since}
	arg := func(condition string, v any) {
		args = append(args, v)
		where = append(where, fmt.Sprintf(condition, len(args)))
	}
	if q.Until > 0 {
		arg("day < $%d", q.Until)
	}
	if q.Principal != "" {
		arg("principal = $%d", q.Principal)
	}
	if q.Jobs != nil {
		marks := make([]string, len(q.Jobs))
		for i, id := range q.Jobs {
			args = append(args, id)
			marks[i] = fmt.Sprintf("$%d", len(args))
		}
		where = append(where, "job IN ("+strings.Join(append(marks, "''"), ", ")+")")
	}
	order := strings.Join(append(names, "price"), ", ")
	return `SELECT ` + strings.Join(columns, ", ") + spentSums + ` FROM job_usage WHERE ` + strings.Join(where, " AND ") + ` GROUP BY ` + order + ` ORDER BY ` + order, args
}

// Spent adds up what records of an account's jobs took, in groups as the query wants them, sorted by their names. Groups of different prices
// are apart.
func (s *Store) Spent(ctx context.Context, q batholith.SpentQuery) ([]batholith.Spent, error) {
	query, args := spentQuery(q)
	all, err := read(ctx, s, func(rows *sql.Rows) (g batholith.Spent, err error) {
		g.Account = q.Account
		parts := make([]int64, 2*len(spentColumns))
		dst := []any{&g.Day, &g.Principal, &g.Model, &g.Job, &g.Price}
		for i := range parts {
			dst = append(dst, &parts[i])
		}
		if err = rows.Scan(dst...); err != nil {
			return g, err
		}
		for i, m := range spentMembers(&g) {
			*m = joined(parts[2*i], parts[2*i+1])
		}
		return g, nil
	}, query, args...)
	return all, wrap("add up the usage of account", q.Account, err)
}
