package store

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/pgtest"
)

// On PostgreSQL too, each statement that runs often walks an index in its order and looks other rows up by their primary key, before the tables
// have statistics and after: it costs the same in a database of a hundred jobs and in one of a million.
func TestHotStatementsUseTheirIndexOnPostgreSQL(t *testing.T) {
	s := openPG(t, pgtest.Shared(t).Pool(schema).Database(t), PostgresOptions{})
	id := validating(t, s, 1)
	must(s.PlanFrom(t.Context(), id, []batholith.File{{Key: "k"}}, chunksOfAJob(3*batchRows), 1))
	at := time.Unix(1, 0)
	for _, when := range []string{"before", "after"} {
		for _, q := range []struct {
			index, query string
			args         []any
		}{
			{"jobs_active", unfinishedQuery, nil},
			{"jobs_unclean", uncleanQuery, nil},
			{"jobs_sweep", unsweptQuery, []any{1}},
			{"chunks_open", s.dialect.claim(2, true), []any{"w", id, 1, "a", "b"}},
			{"chunks_open", s.dialect.claim(2, false), []any{"w", id, 1, "a", "b"}},
			{"chunks_pkey", s.dialect.claim(2, false), []any{"w", id, 1, "a", "b"}},
			{"chunks_open", noneToClaimQuery, []any{id, "w"}},
			{"chunks_leased", s.dialect.release(false), []any{"w", 1}},
			{"chunks_leased", s.dialect.release(true), []any{"w", 1, id}},
			{"chunks_pkey", s.dialect.release(true), []any{"w", 1, id}},
			{"chunks_pkey", chunksOfQuery(2), []any{id, 1, 2}},
			{"chunks_pkey", chunksQuery, []any{id, 1, 2}},
			{"chunks_pkey", deleteQuery(chunksTable), []any{id, 1}},
			{"segments_pkey", deleteQuery(segmentsTable), []any{id, 1}},
			{"jobs_active", taggedQuery, []any{"k"}},
			{"tags_pkey", taggedQuery, []any{"k"}},
			{"progress_pkey", findQuery, []any{id}},
			{"progress_pkey", unfinishedQuery, nil},
		} {
			if q.query == taggedQuery && when == "after" {
				continue // there are no tags here, and it is right to begin with the table that is known to be empty
			}
			plan := planOf(t, s, q.query, q.args...)
			if !strings.Contains(plan, "using "+q.index+" ") || unwanted(plan) != "" {
				t.Errorf("%s: the plan of\n%s\nis\n%s\nwithout %s, or with %q", when, q.query, plan, q.index, unwanted(plan))
			}
		}
		for _, q := range []batholith.ListQuery{{}, {Ascending: true, Cursor: 3}, {NameContains: "x", After: at, Before: at, Cursor: 3}, {Status: "Failed"}} {
			q.Account = job(1).Account
			query, args := s.dialect.list(q)
			if plan := planOf(t, s, query, args...); unwanted(plan) != "" {
				t.Errorf("%s: the plan of a list\n%s\nis\n%s", when, query, plan)
			}
		}
		_, err := s.writer.Exec(`ANALYZE`)
		must(err)
	}
}

// planOf is the plan of a statement in a session of the store.
func planOf(t *testing.T, s *Store, query string, args ...any) string {
	t.Helper()
	steps, err := collect(t.Context(), s.reader, func(rows *sql.Rows) (step string, err error) { return step, rows.Scan(&step) },
		"EXPLAIN (COSTS OFF) "+query, args...)
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", query, err))
	}
	return strings.Join(steps, "\n") + "\n"
}

// unwanted is a step of a plan that reads or sorts more rows than it needs, or "".
func unwanted(plan string) string {
	for _, step := range []string{"Seq Scan", "Bitmap", "Sort", "Hash Join", "Hash Semi Join", "Merge", "Materialize"} {
		if strings.Contains(plan, step) {
			return step
		}
	}
	return ""
}
