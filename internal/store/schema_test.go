package store

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"github.com/batholith/batholith"
)

var update = flag.Bool("update", false, "write the golden files anew")

func openStore(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func text(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	lines, err := collect(t.Context(), db, func(rows *sql.Rows) (s string, err error) { return s, rows.Scan(&s) }, query)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n") + "\n"
}

// A released migration must not change: its schema would differ from that of databases that ran it. Add another instead.
func TestTheSchemaIsTheGoldenOne(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "jobs.db"))
	got := text(t, s.reader, `SELECT sql || ';' FROM sqlite_schema WHERE sql IS NOT NULL
		AND tbl_name NOT LIKE 'sqlite%' AND tbl_name <> 'goose_db_version' ORDER BY tbl_name, type DESC, name`)
	got += text(t, s.reader, `SELECT '-- ' || tbl || ' ' || idx || ': ' || stat FROM sqlite_stat1 ORDER BY idx`)
	golden := filepath.Join("testdata", "schema.sql")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Error(d)
	}
}

func TestANewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	s := openStore(t, path)
	if _, err := s.writer.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`); err != nil {
		t.Fatal(err)
	}
	s.Close()
	_, err := Open(t.Context(), path)
	if err == nil || !strings.Contains(err.Error(), "version 9999") || !strings.Contains(err.Error(), path) {
		t.Errorf("the error is %v", err)
	}
}

func TestAnOlderSchemaIsMigratedWithItsJobs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	db, err := sqliteDB(path, 1, "immediate")
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithLogger(goose.NopLogger()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	old := &Store{dialect: sqliteDialect(), writer: db, reader: db}
	if _, err := old.CreateJob(t.Context(), job(1), "hash", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`INSERT INTO files (job, n, key, etag, bytes, records, output, index_key) VALUES ($1, 0, 'k', 'e', 7, 1, 'k.out', 'i')`,
		job(1).ID); err != nil {
		t.Fatal(err)
	}
	upload := batholith.Upload{Job: job(1).ID, Key: "k.out", UploadID: "u"} // of a publisher, which had no epoch
	if _, err := db.Exec(`INSERT INTO uploads (job, key, upload_id) VALUES ($1, $2, $3)`, upload.Job, upload.Key, upload.UploadID); err != nil {
		t.Fatal(err)
	}
	old.Close()

	s := openStore(t, path)
	if l, err := s.Ledger(t.Context(), job(1).ID); err != nil || l != (batholith.Ledger{}) {
		t.Errorf("the ledger of a job of the first schema is %+v, %v", l, err)
	}
	fs, err := s.Files(t.Context(), job(1).ID)
	if d := cmp.Diff([]batholith.File{{Key: "k", ETag: "e", Bytes: 7, Records: 1, Output: "k.out", Index: "i"}}, fs); err != nil || d != "" {
		t.Error(err, d)
	}
	epoch, err := s.ClaimPublication(t.Context(), job(1).ID, "w", false, time.Now())
	if err != nil || epoch != 1 {
		t.Errorf("its first publisher has epoch %d, %v", epoch, err)
	}
	us, err := s.Uploads(t.Context(), job(1).ID)
	if d := cmp.Diff([]batholith.Upload{upload}, us); err != nil || d != "" {
		t.Error(err, d)
	}
	if _, err := s.Job(t.Context(), "123456789012", job(1).ID); err != nil {
		t.Error(err)
	}
	if n := text(t, s.reader, `SELECT count(*) FROM sqlite_stat1`); n == "0\n" {
		t.Error("the second migration did not run")
	}
}

func TestAFreshFileIsMigratedOnceByManyOpeners(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() {
			s, err := Open(t.Context(), path)
			if err == nil {
				err = s.Close()
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestTheFileIsItsOwnersOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	openStore(t, path)
	for _, f := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if m := info.Mode().Perm(); m != 0o600 {
			t.Errorf("%s has mode %o", filepath.Base(f), m)
		}
	}
}

func TestAFileThatIsNoDatabaseIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("the error is %v", err)
	}
}

func TestEveryCommitIsOnDisk(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "jobs.db"))
	for _, db := range []*sql.DB{s.writer, s.reader} {
		got := text(t, db, `PRAGMA journal_mode`) + text(t, db, `PRAGMA synchronous`) + text(t, db, `PRAGMA foreign_keys`)
		if got != "wal\n2\n1\n" {
			t.Errorf("journal_mode, synchronous and foreign_keys are %q", got)
		}
	}
	if _, err := s.reader.Exec(`DELETE FROM jobs`); err == nil {
		t.Error("a reader can write")
	}
}

// Every list is a scan of one index, and it never sorts: a page costs the same among a hundred jobs and among a million.
func TestListsAreIndexScans(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "jobs.db"))
	at := time.Unix(1, 0)
	for _, c := range []struct {
		q     batholith.ListQuery
		index string
	}{
		{batholith.ListQuery{}, "jobs_by_seq (account=?)"},
		{batholith.ListQuery{Ascending: true, Cursor: 3}, "jobs_by_seq (account=? AND seq>?)"},
		{batholith.ListQuery{NameContains: "x", After: at, Before: at, Cursor: 3}, "jobs_by_seq (account=? AND seq>? AND seq<?)"},
		{batholith.ListQuery{Status: "Failed"}, "jobs_by_status (account=? AND status=?)"},
		{batholith.ListQuery{Status: "Failed", NameContains: "x", After: at, Cursor: 3}, "jobs_by_status (account=? AND status=? AND seq>? AND seq<?)"},
	} {
		query, args := s.dialect.list(c.q)
		checkPlan(t, s, "SEARCH jobs USING INDEX "+c.index, query, args...)
	}
}

func TestHotStatementsUseTheirIndex(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "jobs.db"))
	checkPlan(t, s, "SCAN jobs USING INDEX jobs_active", unfinishedQuery)
	checkPlan(t, s, "SCAN jobs USING INDEX jobs_unclean", uncleanQuery)
	checkPlan(t, s, "SEARCH jobs USING INDEX jobs_sweep (sweep>? AND sweep<?)", unsweptQuery, 1)
	checkPlan(t, s, "SEARCH chunks USING INDEX chunks_open (job=?)", s.dialect.claim(2, false), "w", "j", 1, "a", "b")
	checkPlan(t, s, "SEARCH chunks USING INDEX chunks_open (job=?)", s.dialect.claim(2, true), "w", "j", 1, "a", "b")
	checkPlan(t, s, "SEARCH chunks USING COVERING INDEX chunks_leased (owner=?)", s.dialect.release(false), "w", 1)
	checkPlan(t, s, "SEARCH chunks USING COVERING INDEX chunks_leased (owner=? AND job=?)", s.dialect.release(true), "w", 1, "j")
	checkPlan(t, s, "SEARCH chunks USING PRIMARY KEY (job=? AND n=?)", s.dialect.release(false), "w", 1)
	checkPlan(t, s, "SEARCH chunks USING PRIMARY KEY (job=? AND n=?)", chunksOfQuery(2), "j", 1, 2)
	checkPlan(t, s, "SEARCH chunks USING PRIMARY KEY (job=? AND n>?)", chunksQuery, "j", 1, 2)
	checkPlan(t, s, "SEARCH chunks USING PRIMARY KEY (job=?)", deleteQuery(chunksTable), "j", 1)
	checkPlan(t, s, "SEARCH tags USING PRIMARY KEY (job=? AND name=?)", taggedQuery, "k")
	checkPlan(t, s, "SCAN jobs USING INDEX jobs_active", taggedQuery, "k")
	checkPlan(t, s, "SEARCH progress USING PRIMARY KEY (job=?)", unfinishedQuery)
	for _, query := range []string{countsQuery, ledgerQuery, findQuery, progressQuery} {
		checkPlan(t, s, "SEARCH progress USING PRIMARY KEY (job=?)", query, "j")
	}
	counters := values(batholith.Counts{}, batholith.Tokens{}, batholith.Ledger{})
	checkPlan(t, s, "SEARCH progress USING PRIMARY KEY (job=? AND worker=?)", countQuery, append(counters, 1, "j", "w")...)
	checkPlan(t, s, "SEARCH segments USING PRIMARY KEY (job=?)", deleteQuery(segmentsTable), "j", 1)
	checkPlan(t, s, "SEARCH a USING COVERING INDEX events_of_accounts (account=? AND n<?)", s.numbered(accountEventsQuery), "a", 1, 1)
	checkPlan(t, s, "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)", s.numbered(accountEventsQuery), "a", 1, 1)
	checkPlan(t, s, "SEARCH events USING INTEGER PRIMARY KEY (rowid>?)", s.numbered(unplacedQuery))
	checkPlan(t, s, "SEARCH e USING INTEGER PRIMARY KEY (rowid>?)", s.numbered(placeQuery), 1)
	checkPlan(t, s, "SEARCH points USING PRIMARY KEY (job=?)", `SELECT job, min(slot) FROM points WHERE job IN ($1, $2) GROUP BY job`, "i", "j")
	for _, q := range []batholith.SpentQuery{{Jobs: []string{"j"}}, {Jobs: []string{"j"}, ByJob: true}, {Jobs: slices.Repeat([]string{"j"}, 100), ByJob: true}} {
		query, args := spentQuery(q)
		checkSearch(t, s, "SEARCH job_usage USING PRIMARY KEY (job=? AND day>?)", query, args...)
	}
	checkSearch(t, s, "SEARCH job_usage USING PRIMARY KEY (job=? AND day>?)", takenQuery("job"), "a", "j", 0)
	checkSearch(t, s, "SEARCH job_usage USING INDEX job_usage_of_day (account=? AND day>?)", takenQuery("principal"), "a", "p", 1)
}

// checkPlan checks that a statement takes a step, and does not sort.
func checkPlan(t *testing.T, s *Store, step, query string, args ...any) {
	t.Helper()
	if all := checkSearch(t, s, step, query, args...); strings.Contains(all, "TEMP B-TREE") {
		t.Errorf("the plan of\n%s\nsorts:\n%s", query, all)
	}
}

// checkSearch checks that a statement takes a step, and returns its plan. It may sort what it finds.
func checkSearch(t *testing.T, s *Store, step, query string, args ...any) string {
	t.Helper()
	steps, err := collect(context.Background(), s.reader, func(rows *sql.Rows) (step string, err error) {
		var id, parent, unused int
		return step, rows.Scan(&id, &parent, &unused, &step)
	}, "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(steps, "\n")
	if !strings.Contains(all+"\n", step+"\n") {
		t.Errorf("the plan of\n%s\nis\n%s\nwithout %q", query, all, step)
	}
	return all
}

// job is a job of account 123456789012.
func job(n int) batholith.Job {
	now := time.Now()
	return batholith.Job{ID: "job" + pad(n), Account: "123456789012", Region: "r", Owner: "o", Submitted: now, Expires: now.Add(time.Hour),
		Request: batholith.Request{Name: "job-" + pad(n), ModelID: "m", Token: "t" + pad(n), RoleARN: "arn:aws:iam::123456789012:role/r",
			Type: batholith.InvokeModel, Input: batholith.Location{URI: "s3://in/a/"}, Output: batholith.Location{URI: "s3://out/"}}}
}

func pad(n int) string { return fmt.Sprintf("%09d", n) }
