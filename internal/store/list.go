package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/batholith/batholith"
)

// Jobs returns one page of an account's jobs, without their tags unless they are asked for, and the cursor of the next page, 0 when there is none.
// The pages of one query neither repeat nor leave out a job that was there when the first was read, however many are created
// meanwhile; a job whose status changes meanwhile may come to match a filter, or no longer.
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

// addTags reads the tags of jobs, by key.
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

// list builds the statement of a page and one job more, which tells whether there is a next page and is where it begins.
//
// The order is that of seq. Since Submitted never falls as seq rises, a bound in time is a bound of seq, found by one seek in
// the index by time: the scan itself visits only what the page holds, except what the filter by name refuses.
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
		// A job submitted within the bound's own millisecond, and before it, is earlier than the bound: round up.
		where = append(where, "seq <= COALESCE((SELECT seq FROM jobs WHERE account = "+account+
			" AND submitted < "+arg(ceilMillis(q.Before))+" ORDER BY submitted DESC, seq DESC LIMIT 1), 0)")
	}
	if q.NameContains != "" {
		where = append(where, fmt.Sprintf(d.contains, "name", arg(q.NameContains)))
	}
	return "SELECT " + jobColumns + ", seq FROM jobs WHERE " + strings.Join(where, " AND ") +
		" ORDER BY seq " + order + " LIMIT " + arg(max(q.Limit, 1)+1), args
}
