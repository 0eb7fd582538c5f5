package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/pgtest"
	"github.com/batholith/batholith/internal/raced"
)

// twoProcesses are two stores on one database with a job of 8 chunks of 3 records, of which w1 and w2 lease the first two, one each.
func twoProcesses(t *testing.T) (a, b *Store, id string, one, two batholith.Chunk) {
	t.Helper()
	address := pgtest.Shared(t).Database(t)
	a, b = openPG(t, address, PostgresOptions{}), openPG(t, address, PostgresOptions{})
	id = running(t, a, 1, 8)
	for _, w := range []string{"w1", "w2"} {
		must(a.Heartbeat(t.Context(), w, time.Now().Add(time.Hour)))
	}
	claim := func(s *Store, w string) batholith.Chunk {
		chunks, err := s.Claim(t.Context(), w, id, 1, time.Now())
		must(err)
		return chunks[0]
	}
	return a, b, id, claim(a, "w1"), claim(b, "w2")
}

// hold runs f in a transaction that stays open until the function that it returns commits it.
func hold(t *testing.T, s *Store, f func(ctx context.Context, tx *sql.Tx) error) (end func()) {
	t.Helper()
	tx := patient(t, s)
	must(f(t.Context(), tx))
	return func() { must(tx.Commit()) }
}

// patient begins a transaction that the server does not end, however slow the machine is.
func patient(t *testing.T, s *Store) *sql.Tx {
	t.Helper()
	tx, err := s.writer.BeginTx(t.Context(), nil)
	must(err)
	t.Cleanup(func() { tx.Rollback() })
	_, err = tx.Exec(`SET LOCAL idle_in_transaction_session_timeout = 0`)
	must(err)
	return tx
}

// record is a commit of records of a chunk, in one segment.
func record(c batholith.Chunk, records ...int) batholith.Commit {
	commit := oneRecord(c, records[0])
	for _, r := range records {
		commit.Parts[0].Done.Set(r)
	}
	commit.Segment.Key = fmt.Sprint(c.Owner, c.N, records)
	commit.Counts = batholith.Counts{Processed: int64(len(records)), Succeeded: int64(len(records))}
	return commit
}

// waiting returns when at least n sessions of the database wait for a lock.
func waiting(t *testing.T, s *Store, n int) {
	t.Helper()
	query := fmt.Sprintf(`SELECT count(*) >= %d FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`, n)
	for text(t, s.reader, query) != "true\n" {
	}
}

// inBackground calls f in a goroutine, and returns its error.
func inBackground(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// While a claim or a commit of one worker is in the midst, the others claim and commit. If one waited for the other, it would fail after the
// time that PostgreSQL lets it wait for a lock.
func TestWorkersOfAJobDoNotWaitForEachOther(t *testing.T) {
	a, b, id, one, two := twoProcesses(t)
	ctx := t.Context()
	others := func(chunk int, records ...int) { // what the other process does meanwhile
		t.Helper()
		got, err := b.Claim(ctx, "w2", id, 1, time.Now())
		if err != nil || len(got) != 1 || got[0].N != chunk {
			t.Fatalf("the other worker claims %v, %v; not chunk %d", got, err, chunk)
		}
		for _, r := range records {
			if _, err := b.Commit(ctx, record(two, r)); err != nil {
				t.Fatal(err)
			}
		}
		must(b.Heartbeat(ctx, "w2", time.Now().Add(time.Hour)))
	}
	end := hold(t, a, func(ctx context.Context, tx *sql.Tx) error {
		got, err := collect(ctx, tx, func(rows *sql.Rows) (batholith.Chunk, error) { return scanChunk(rows) }, a.dialect.claim(2, false), "w1", id, 2, "w1", "w2")
		if len(got) != 2 || got[0].N+got[1].N != 2+3 {
			t.Errorf("the claim is of %v", got)
		}
		return err
	})
	others(4, 0) // the first commit of w2
	end()
	for i, chunk := range []int{5, 6} { // the first commit of w1, and another
		end := hold(t, a, func(ctx context.Context, tx *sql.Tx) error { return a.commit(ctx, tx, record(one, i)) })
		others(chunk, i+1)
		j, err := b.Find(ctx, id)
		if err != nil || j.Counts.Processed != int64(2*i+2) { // what is not committed does not count
			t.Errorf("%+v, %v", j.Counts, err)
		}
		end()
	}
	if j, err := b.Find(ctx, id); err != nil || j.Counts != (batholith.Counts{Total: 24, Processed: 5, Succeeded: 5}) {
		t.Errorf("%+v, %v", j.Counts, err)
	}
}

// Whatever runs when a job is sealed counts, and nothing that begins later.
func TestASealWaitsForTheCommitsThatRun(t *testing.T) {
	a, b, id, one, two := twoProcesses(t)
	ctx := t.Context()
	if _, err := a.Commit(ctx, record(one, 0)); err != nil {
		t.Fatal(err)
	}
	endOne := hold(t, a, func(ctx context.Context, tx *sql.Tx) error { return a.commit(ctx, tx, record(one, 1)) }) // has a row
	endTwo := hold(t, b, func(ctx context.Context, tx *sql.Tx) error { return b.commit(ctx, tx, record(two, 0)) }) // makes its row
	sealed := inBackground(func() error { _, err := b.SealToPublish(ctx, id, "", "w2"); return err })
	waiting(t, a, 1)
	endTwo()
	waiting(t, a, 1)
	endOne()
	must(<-sealed)
	for i, c := range []batholith.Chunk{one, two} {
		if _, err := a.Commit(ctx, record(c, 2)); !errors.Is(err, batholith.ErrSealed) {
			t.Errorf("a commit of worker %d after the seal: %v", i+1, err)
		}
	}
	if got := text(t, a.reader, `SELECT concat_ws(' ', processed, (SELECT count(*) FROM progress)) FROM jobs`); got != "3 0\n" {
		t.Errorf("the job's row counts, and rows of progress are left: %q", got)
	}
}

// A commit that meets a seal is refused when the seal is done, whether its worker has committed before or not.
func TestACommitThatWaitsForASealIsRefused(t *testing.T) {
	a, b, id, one, two := twoProcesses(t)
	ctx := t.Context()
	if _, err := a.Commit(ctx, record(one, 0)); err != nil {
		t.Fatal(err)
	}
	end := hold(t, b, func(ctx context.Context, tx *sql.Tx) error { return seal(ctx, tx, id, "") })
	first := inBackground(func() error { _, err := a.Commit(ctx, record(one, 1)); return err })
	second := inBackground(func() error { _, err := b.Commit(ctx, record(two, 0)); return err })
	again := inBackground(func() error { _, err := a.Commit(ctx, record(one, 0)); return err }) // of which the answer was lost
	waiting(t, a, 3)
	end()
	for _, c := range []<-chan error{first, second} {
		if err := <-c; !errors.Is(err, batholith.ErrSealed) {
			t.Errorf("the commit: %v", err)
		}
	}
	must(<-again)
	if j, err := a.Find(ctx, id); err != nil || j.Counts.Processed != 1 {
		t.Errorf("%+v, %v", j.Counts, err)
	}
}

// A release that meets the worker's own commit leaves a chunk done that the commit has finished, and a chunk that another has taken over to the
// other.
func TestAReleaseKeepsWhatACommitHasFinished(t *testing.T) {
	a, b, id, one, _ := twoProcesses(t)
	ctx := t.Context()
	end := hold(t, a, func(ctx context.Context, tx *sql.Tx) error { return a.commit(ctx, tx, record(one, 0, 1, 2)) })
	released := inBackground(func() error { return b.Release(ctx, "w1", "") })
	waiting(t, a, 1)
	end()
	must(<-released)
	chunks, err := a.ChunksOf(ctx, id, []int{0, 1})
	must(err)
	if chunks[0].State != batholith.ChunkDone || chunks[1].Owner != "w2" {
		t.Errorf("chunks %+v", chunks)
	}
	end = hold(t, a, func(ctx context.Context, tx *sql.Tx) error { // a claim after the lease of w2 is lost
		_, err := tx.ExecContext(ctx, `UPDATE chunks SET owner = 'w3', epoch = epoch + 1 WHERE n = 1`)
		return err
	})
	released = inBackground(func() error { return b.Release(ctx, "w2", id) })
	waiting(t, a, 1)
	end()
	must(<-released)
	if chunks, err = a.ChunksOf(ctx, id, []int{1}); err != nil || chunks[0].Owner != "w3" || chunks[0].State != batholith.ChunkLeased {
		t.Errorf("chunks %+v, %v", chunks, err)
	}
}

// The row of a worker that was silent for hours is deleted, but not if it has come back meanwhile.
func TestAWorkerThatComesBackIsNotDismissed(t *testing.T) {
	s := freshPG(t)
	ctx := t.Context()
	must(s.Heartbeat(ctx, "w1", time.Now().Add(time.Hour)))
	var seen beat
	must(s.reader.QueryRow(`SELECT id, beat FROM workers`).Scan(&seen.worker, &seen.number))
	must(s.Heartbeat(ctx, "w1", time.Now().Add(time.Hour)))
	must(s.dismiss(ctx, []beat{seen}))
	if got := text(t, s.reader, `SELECT id FROM workers`); got != "w1\n" {
		t.Errorf("the workers are %q", got)
	}
	must(s.reader.QueryRow(`SELECT id, beat FROM workers`).Scan(&seen.worker, &seen.number))
	must(s.dismiss(ctx, []beat{seen}))
	if got := text(t, s.reader, `SELECT id FROM workers`); got != "\n" {
		t.Errorf("the workers are %q", got)
	}
}

// Among 100,000 jobs and a job of 100,000 chunks every statement that runs often uses its index, and sorts nothing.
func TestStatementsUseTheirIndexesOnPostgreSQL(t *testing.T) {
	if raced.On {
		t.Skip("plans of the server do not depend on the race detector")
	}
	s := freshPG(t)
	ctx := t.Context()
	id := validating(t, s, 1)
	list := func(q batholith.ListQuery) (string, []any) { q.Account = "123456789012"; return s.dialect.list(q) }
	newest, newestArgs := list(batholith.ListQuery{Limit: 100})
	failed, failedArgs := list(batholith.ListQuery{Limit: 100, Status: batholith.StatusFailed})
	counters := append(values(batholith.Counts{}, batholith.Tokens{}, batholith.Ledger{}), 1, id, "w1")
	statements := []struct {
		query   string
		args    []any
		indexes string // in the full database
		key     string // a condition of the plan, also while nothing is known of the tables: the statement must not read all rows of a job
	}{
		{newest, newestArgs, "jobs_by_seq progress_pkey", ""},
		{failed, failedArgs, "jobs_by_status progress_pkey", ""},
		{unfinishedQuery, nil, "jobs_active progress_pkey", ""},
		{findQuery, []any{id}, "jobs_pkey progress_pkey", ""},
		{countsQuery, []any{id}, "jobs_pkey progress_pkey", ""},
		{ledgerQuery, []any{id}, "jobs_pkey progress_pkey", ""},
		{countQuery, counters, "progress_pkey", "AND (worker = "},
		{progressQuery, []any{id}, "progress_pkey", ""},
		{lockChunksQuery, []any{id, []int64{5, 6, 7}}, "chunks_pkey", "AND (n = it.number)"},
		{unnestDoneQuery, []any{id, []int64{5, 6}, [][]byte{{1}, {2}}, []string{"done", "done"}}, "chunks_pkey", "AND (n = it.n)"},
		{s.dialect.claim(2, false), []any{"w", id, 8, "w1", "w2"}, "chunks_open chunks_pkey", "AND (n = free.n)"},
		{s.dialect.release(true), []any{"w1", 8, id}, "chunks_leased chunks_pkey", "AND (n = mine.n)"},
		{s.dialect.release(false), []any{"w1", 8}, "chunks_leased chunks_pkey", "AND (n = mine.n)"},
		{unnumberedQuery, nil, "events_unnumbered", ""},
		{eventsQuery, []any{5, 10}, "events_by_number", ""},
		{s.numbered(accountEventsQuery), []any{"123456789012", 1000, 50}, "events_of_accounts events_by_number", ""},
	}
	plans := func(check func(query, plan, indexes string)) {
		for _, c := range statements {
			lines, err := collect(ctx, s.writer, func(rows *sql.Rows) (line string, err error) { return line, rows.Scan(&line) }, "EXPLAIN "+c.query, c.args...)
			must(err)
			plan := strings.Join(lines, "\n")
			if !strings.Contains(plan, c.key) {
				t.Errorf("%s\nreads more than it needs:\n%s", c.query, plan)
			}
			check(c.query, plan, c.indexes)
		}
	}
	plans(func(_, _, _ string) {})
	fill(t, s, id)
	plans(func(query, plan, indexes string) {
		want := map[string]bool{}
		for _, index := range strings.Fields(indexes) {
			want[index] = true
		}
		used := map[string]bool{}
		for _, m := range regexp.MustCompile(`Index.* (?:using|Scan on) (\w+)`).FindAllStringSubmatch(plan, -1) {
			used[m[1]] = true
		}
		if d := cmp.Diff(want, used); d != "" || strings.Contains(plan, "Seq Scan on jobs") || strings.Contains(plan, "Seq Scan on chunks") {
			t.Errorf("%s\nuses other indexes:\n%s\n%s", query, d, plan)
		}
	})
}

// fill makes 100,000 more jobs, and 100,000 chunks of the job with this id.
func fill(t *testing.T, s *Store, id string) {
	t.Helper()
	columns := strings.TrimSpace(text(t, s.reader, `SELECT string_agg(column_name, ', ') FROM information_schema.columns
		WHERE table_name = 'jobs' AND column_name NOT IN ('id', 'seq', 'name', 'active', 'status')`))
	// To make an index of a full table takes a fifth of the time that its rows take one by one.
	indexes := strings.Split(strings.TrimSpace(text(t, s.reader, `SELECT indexname || '|' || indexdef FROM pg_indexes
		WHERE tablename IN ('jobs', 'chunks') AND indexname NOT LIKE '%_pkey'`)), "\n")
	var statements, anew []string
	for _, index := range indexes {
		name, definition, _ := strings.Cut(index, "|")
		statements, anew = append(statements, `DROP INDEX `+name), append(anew, definition)
	}
	statements = append(statements,
		`INSERT INTO jobs (id, seq, name, active, status, `+columns+`) SELECT 'x' || i, i + 1, 'job-' || i, CASE WHEN i % 1000 = 0 THEN 1 ELSE 0 END, 'Completed', `+columns+
			` FROM jobs, generate_series(1, 100000) AS i`,
		`INSERT INTO chunks (job, n, file, first, count, pos, bytes, index_offset, index_bytes, state, owner, epoch, done)
			SELECT id, n, 0, 0, 1, 0, 1, 0, 1, CASE WHEN n % 1000 = 0 THEN 'leased' ELSE 'done' END, 'w' || n % 7, 1, ''
			FROM (VALUES ('`+id+`', 100000), ('x1', 100), ('x2', 100)) AS j (id, last), generate_series(1, last) AS n`)
	for _, statement := range append(append(statements, anew...), `ANALYZE jobs, chunks`) {
		_, err := s.writer.ExecContext(t.Context(), statement)
		must(err)
	}
}

// BenchmarkPostgresCommits is how many commits a second one job takes from so many workers. The server answers a commit after 5 ms, as one with
// a synchronous standby may. Workers that wait for each other reach 200 commits a second together; others that many each, as far as the
// processors suffice.
func BenchmarkPostgresCommits(b *testing.B) {
	cluster := pgtest.Start(b, pgtest.Options{Durable: true, Set: []string{"commit_delay = 5000", "commit_siblings = 0"}})
	for _, workers := range []int{1, 8} {
		b.Run(fmt.Sprint(workers, " workers"), func(b *testing.B) {
			s := openPG(b, cluster.Database(b), PostgresOptions{Writers: workers})
			ctx := b.Context()
			chunks := workers * (b.N/workers + 1)
			id := running(b, s, 1, chunks)
			commits := make(chan batholith.Commit, chunks)
			for w := range workers {
				name := fmt.Sprint("w", w)
				must(s.Heartbeat(ctx, name, time.Now().Add(time.Hour)))
				for left := chunks / workers; left > 0; {
					got, err := s.Claim(ctx, name, id, min(left, 500), time.Now())
					must(err)
					for _, c := range got {
						commits <- record(c, 0)
					}
					left -= len(got)
				}
			}
			close(commits)
			of := make([][]batholith.Commit, workers) // each worker commits one after another
			for c := range commits {
				w := int(c.Worker[1] - '0')
				of[w] = append(of[w], c)
			}
			b.ResetTimer()
			done := make(chan error)
			for _, mine := range of {
				go func() {
					var err error
					for _, c := range mine[:b.N/workers] {
						if _, e := s.Commit(ctx, c); e != nil {
							err = e
						}
					}
					done <- err
				}()
			}
			for range workers {
				if err := <-done; err != nil {
					b.Error(err)
				}
			}
			b.ReportMetric(float64(b.N/workers*workers)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}

// A claim whose COMMIT could not be sent has taken nothing. Its repetition tells what it finds itself, here a job that is sealed meanwhile.
func TestARepeatedClaimTellsNothingOfItsFirstAttempt(t *testing.T) {
	s := openPG(t, pgtest.Shared(t).Pool(schema).Database(t), PostgresOptions{})
	_, err := s.CreateJob(t.Context(), job(1), "hash", 0)
	must(err)
	begin(t.Context(), s, job(1).ID) // its chunks belong to a worker without a lease
	transact, lost := s.dialect.transact, false
	s.dialect.transact = func(ctx context.Context, db *sql.DB, f func(context.Context, *sql.Tx) error) error {
		if lost {
			return transact(ctx, db, f)
		}
		lost = true
		err := transact(ctx, db, func(ctx context.Context, tx *sql.Tx) error { return errors.Join(f(ctx, tx), driver.ErrBadConn) })
		_, e := s.writer.ExecContext(ctx, `UPDATE jobs SET sealed = 1`)
		must(e)
		return err
	}
	if chunks, err := s.Claim(t.Context(), "v", job(1).ID, 9, time.Now()); err != nil || !lost || len(chunks) != 0 {
		t.Errorf("%d chunks of a sealed job, %v", len(chunks), err)
	}
}
