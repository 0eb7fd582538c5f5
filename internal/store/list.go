package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/batholith/batholith"
)

// Jobs returns one page of an account's jobs, with their tags if the query asks for them, and the cursor of the next page, 0 if there is
// none. The pages of one query neither repeat nor omit a job that existed when the first page was read, however many are created meanwhile.
// A job whose status changes meanwhile may begin or cease to match a filter.
func (s *Store) Jobs(ctx context.Context, q batholith.ListQuery) ([]batholith.Job, int64, error) {
	query, args := s.dialect.list(q)
	var last int64
	jobs, err := read(ctx, s, func(rows *sql.Rows) (batholith.Job, error) { return scanJob(rows, &last) }, query, args...)
	if err == nil && q.Tags {
		err = s.addTags(ctx, jobs)
	}
	if err != nil {
		return nil, 0, wrap("list jobs of account", q.Account, err)
	}
	if len(jobs) <= max(q.Limit, 1) {
		return jobs, 0, nil
	}
	return jobs[:max(q.Limit, 1)], last, nil
}

// addTags reads the tags of jobs, sorted by key, into their Tags.
func (s *Store) addTags(ctx context.Context, jobs []batholith.Job) error {
	type row struct {
		job string
		tag batholith.Tag
	}
	if len(jobs) == 0 {
		return nil
	}
	at := make(map[string]int, len(jobs))
	args, marks := make([]any, len(jobs)), make([]string, len(jobs))
	for i, j := range jobs {
		at[j.ID], args[i], marks[i] = i, j.ID, fmt.Sprintf("$%d", i+1)
	}
	rows, err := read(ctx, s, func(rows *sql.Rows) (r row, err error) { return r, rows.Scan(&r.job, &r.tag.Key, &r.tag.Value) },
		`SELECT job, name, value FROM tags WHERE job IN (`+strings.Join(marks, ", ")+`) ORDER BY job, name`, args...)
	for _, r := range rows {
		j := &jobs[at[r.job]]
		j.Tags = append(j.Tags, r.tag)
	}
	return err
}

// list builds the statement of a page with one job more, which is the begin of the next page, if any.
//
// The order is that of seq. Submitted never falls as seq rises, so a bound in time is a bound of seq, which one look-up in the index by
// time finds. The scan itself visits only the jobs of the page, and those that the filter by name excludes.
func (d dialect) list(q batholith.ListQuery) (query string, args []any) {
	arg := func(v any) string {
		args = append(args, v)
		return fmt.Sprintf("$%d", len(args))
	}
	account := arg(q.Account)
	where := []string{"account = " + account}
	if q.Status != "" {
		where = append(where, "status = "+arg(string(q.Status)))
	}
	order, from := "DESC", "<="
	if q.Ascending {
		order, from = "ASC", ">="
	}
	if q.Cursor != 0 {
		where = append(where, "seq "+from+" "+arg(q.Cursor))
	}
	if !q.After.IsZero() {
		where = append(where, "seq >= COALESCE((SELECT seq FROM jobs WHERE account = "+account+
			" AND submitted > "+arg(q.After.UnixMilli())+" ORDER BY submitted, seq LIMIT 1), 9223372036854775807)")
	}
	if !q.Before.IsZero() {
		// Times are stored in milliseconds: round up, so that a job in the bound's own millisecond counts as earlier.
		where = append(where, "seq <= COALESCE((SELECT seq FROM jobs WHERE account = "+account+
			" AND submitted < "+arg(ceilMillis(q.Before))+" ORDER BY submitted DESC, seq DESC LIMIT 1), 0)")
	}
	if q.NameContains != "" {
		where = append(where, fmt.Sprintf(d.contains, "name", arg(q.NameContains)))
	}
	return "SELECT " + jobColumns + ", seq FROM jobs WHERE " + strings.Join(where, " AND ") +
		" ORDER BY seq " + order + " LIMIT " + arg(max(q.Limit, 1)+1), args
}
