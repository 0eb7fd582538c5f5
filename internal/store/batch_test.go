package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"modernc.org/sqlite"

	"github.com/batholith/batholith"
)

// written counts the rows that the store's transactions write, until the test ends. The function returns how many the greatest of them
// wrote since the last call, and how many transactions there were.
func written(t *testing.T, s *Store) func() (most, transactions int) {
	t.Helper()
	conn, err := s.writer.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var rows, most, transactions int
	err = conn.Raw(func(c any) error {
		hooks := driversOwn(c).(sqlite.HookRegisterer)
		hooks.RegisterPreUpdateHook(func(sqlite.SQLitePreUpdateData) { rows++ })
		hooks.RegisterCommitHook(func() int32 {
			most, rows, transactions = max(most, rows), 0, transactions+1
			return 0
		})
		hooks.RegisterRollbackHook(func() { rows = 0 })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() (int, int) {
		m, n := most, transactions
		most, transactions = 0, 0
		return m, n
	}
}

// chunksOfAJob are so many chunks of 512 records and 1 MiB.
func chunksOfAJob(n int) iter.Seq[batholith.Chunk] {
	return func(yield func(batholith.Chunk) bool) {
		for i := range n {
			if !yield(batholith.Chunk{N: i, First: int64(i) * 512, Count: 512, Offset: int64(i) << 20, Bytes: 1 << 20, IndexOffset: int64(i) * 9000, IndexBytes: 9000}) {
				return
			}
		}
	}
}

// validating creates job n and takes it to Validating.
func validating(tb testing.TB, s *Store, n int) string {
	tb.Helper()
	id := job(n).ID
	if _, err := s.CreateJob(tb.Context(), job(n), "hash", 0); err != nil {
		tb.Fatal(err)
	}
	if err := s.Move(tb.Context(), id, batholith.StatusSubmitted, batholith.StatusValidating, "", time.Now()); err != nil {
		tb.Fatal(err)
	}
	return id
}

// A heartbeat waits for one transaction at most, so each must be short: whatever the size of a job, the number of rows is bounded.
func TestNoTransactionOfALargeJobWritesMoreThanABatch(t *testing.T) {
	const chunks = 5*batchRows + 7
	s := openStore(t, filepath.Join(t.TempDir(), "jobs.db"))
	id := validating(t, s, 1)
	rows := written(t, s)
	bounded := func(what string, atLeast int) {
		t.Helper()
		if most, n := rows(); most > 2*batchRows || n < atLeast {
			t.Errorf("%s: %d transactions; the greatest wrote %d rows", what, n, most)
		}
	}
	files := make([]batholith.File, 2*batchRows+1)
	for i := range files {
		files[i] = batholith.File{N: i, Key: fmt.Sprint(i)}
	}
	for range 2 { // the second plan deletes the first
		must(s.PlanFrom(t.Context(), id, files, chunksOfAJob(chunks), chunks*512))
		bounded("plan", 8)
	}
	must(s.Move(t.Context(), id, batholith.StatusValidating, batholith.StatusScheduled, "", time.Now()))
	must(s.Move(t.Context(), id, batholith.StatusScheduled, batholith.StatusInProgress, "", time.Now()))
	if _, err := s.Claim(t.Context(), "w", id, chunks, time.Now()); err != nil {
		t.Fatal(err)
	}
	rows() // nobody claims so many
	must(s.Release(t.Context(), "w", id))
	bounded("release", 6)
	must(s.Release(t.Context(), "w", ""))
	must(s.Move(t.Context(), id, batholith.StatusInProgress, batholith.StatusStopping, "", time.Now()))
	_, err := s.SealToPublish(t.Context(), id, "", "w")
	must(err)
	must(s.Move(t.Context(), id, batholith.StatusStopping, batholith.StatusStopped, "", time.Now()))
	bounded("end", 3)
	must(s.write(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		for i := range batchRows + 1 {
			if err := insertSegment(ctx, tx, batholith.Segment{Job: id, Key: fmt.Sprint(i)}); err != nil {
				return err
			}
		}
		return nil
	}))
	rows()
	must(s.Forget(t.Context(), id, time.Now()))
	bounded("forget", 9)
}

// A Forget that is cut short leaves a job that is still unclean, and the next one finishes it.
func TestAForgetThatIsCutShortIsRepeated(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "jobs.db"))
	id := validating(t, s, 1)
	must(s.PlanFrom(t.Context(), id, []batholith.File{{Key: "k"}}, chunksOfAJob(3*batchRows), 1))
	must(s.Move(t.Context(), id, batholith.StatusValidating, batholith.StatusFailed, "", time.Now()))
	ctx, cancel := context.WithCancel(t.Context())
	conn, err := s.writer.Conn(ctx)
	must(err)
	commits := 0
	must(conn.Raw(func(c any) error {
		driversOwn(c).(sqlite.HookRegisterer).RegisterCommitHook(func() int32 {
			if commits++; commits == 2 {
				cancel()
			}
			return 0
		})
		return nil
	}))
	conn.Close()
	if err := s.Forget(ctx, id, time.Now()); !errors.Is(err, context.Canceled) {
		t.Fatalf("the error is %v", err)
	}
	if left := text(t, s.reader, `SELECT count(*) FROM chunks`); left != fmt.Sprintf("%d\n", batchRows) {
		t.Errorf("%s chunks are left", left)
	}
	for _, want := range [][]string{{id}, nil} {
		got, err := s.Unclean(t.Context())
		if err != nil || len(got) != len(want) {
			t.Errorf("unclean: %v, %v; want %v", got, err, want)
		}
		must(s.Forget(t.Context(), id, time.Now()))
	}
	if left := text(t, s.reader, `SELECT (SELECT count(*) FROM chunks) + (SELECT count(*) FROM files)`); left != "0\n" {
		t.Errorf("%s rows are left", left)
	}
}

// A migration that rewrote the tables of chunks, segments or events would keep a large database from starting for minutes. It would write
// them to the log. The first two migrations make the tables and their statistics; all later ones run here.
func TestNoMigrationRewritesWhatALargeJobHas(t *testing.T) {
	logged := func(rows int) (pages int) {
		path := filepath.Join(t.TempDir(), fmt.Sprint(rows, ".db"))
		old, _ := openAt(t, path, 2)
		must(old.write(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, `INSERT INTO jobs (id, account, seq, region, owner, name, model, request, status, message, submitted, modified, ended, expires,
				total, processed, succeeded, errored, input, output, cache_read, cache_write, attempts, active, sealed, unclean)
				VALUES ('j', 'a', 1, '', '', 'n', 'm', '{}', 'InProgress', '', 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1)`); err != nil {
				return err
			}
			for i := range rows {
				if err := insertSegment(ctx, tx, batholith.Segment{Job: "j", Key: fmt.Sprint(i)}); err != nil {
					return err
				}
				if err := insertEvent(ctx, tx, "j", batholith.StatusInProgress, "", 1); err != nil {
					return err
				}
			}
			return insertChunks(ctx, tx, "j", slices.Collect(chunksOfAJob(rows)))
		}))
		must(old.Close())
		s := openStore(t, path)
		must(s.writer.QueryRow(`PRAGMA wal_checkpoint(PASSIVE)`).Scan(new(int), &pages, new(int)))
		return pages
	}
	if small, large := logged(1), logged(10_000); small == 0 || large > small+10 {
		t.Errorf("%d pages are written for a large database, and %d for a small one", large, small)
	}
}

// driversOwn is the connection of the driver beneath one that keeps its statements.
func driversOwn(c any) any { return c.(*preparedConn).Unwrap() }
