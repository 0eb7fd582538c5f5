package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/pgtest"
)

// openPG opens a store on PostgreSQL until the test ends.
func openPG(t testing.TB, address string, o PostgresOptions) *Store {
	t.Helper()
	s, err := OpenPostgres(t.Context(), address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// schema makes the schema in a database of a pool.
func schema(address string) error {
	s, err := OpenPostgres(context.Background(), address, PostgresOptions{})
	if err != nil {
		return err
	}
	return s.Close()
}

// essence is what a history of a job left behind, without what depends on chance or the number of attempts.
func essence(t *testing.T, s *Store) string {
	t.Helper()
	var all strings.Builder
	for _, query := range []string{
		`SELECT concat_ws('|', id, seq, status, active, sealed, unclean, kept, ending, message, note, failing, total, processed, succeeded, errored, input) FROM jobs ORDER BY id`,
		`SELECT concat_ws('|', job, status, message) FROM events ORDER BY seq`,
		`SELECT concat_ws('|', account, token, job) FROM tokens ORDER BY 1`,
		`SELECT concat_ws('|', job, name, value) FROM tags ORDER BY 1`,
		`SELECT concat_ws('|', job, n, key) FROM files ORDER BY 1`,
		`SELECT concat_ws('|', job, n, state, owner, done) FROM chunks ORDER BY 1`,
		`SELECT concat_ws('|', job, key, records) FROM segments ORDER BY 1`,
		`SELECT concat_ws('|', job, key, upload_id) FROM uploads ORDER BY 1`,
		`SELECT concat_ws('|', backend, model, inflight) FROM limits ORDER BY 1`,
	} {
		all.WriteString(text(t, s.reader, query))
	}
	return all.String()
}

// A change whose answer is lost says so, and is repeated by its caller. Whether it had happened or not, the job is then in the state that an
// undisturbed history leaves, and no record counts twice.
func TestALostAnswerToACommitLosesNothingAndRepeatsNothing(t *testing.T) {
	cluster := pgtest.Shared(t)
	pool := cluster.Pool(schema)
	undisturbed := openPG(t, pool.Database(t), PostgresOptions{})
	// What a repeated call says if the first has happened: its caller reads the job again, and finds its change.
	applied := map[string]error{"Move": batholith.ErrMoved, "Decide": batholith.ErrMoved, "End": batholith.ErrMoved, "Discarded": batholith.ErrNothingKept}
	var want []string
	for _, c := range life() {
		if err := c.do(t.Context(), undisturbed); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		want = append(want, essence(t, undisturbed))
	}
	for _, fate := range []pgtest.Fate{pgtest.LoseAnswer, pgtest.LoseBoth} {
		t.Run(map[pgtest.Fate]string{pgtest.LoseAnswer: "after the commit", pgtest.LoseBoth: "before the commit"}[fate], func(t *testing.T) {
			address := pool.Database(t)
			proxy := cluster.Proxy(t)
			s := openPG(t, proxy.Through(t, address), PostgresOptions{})
			var armed atomic.Bool
			proxy.Decide(func(statement string) pgtest.Fate {
				if statement == "COMMIT" && armed.CompareAndSwap(true, false) {
					return fate
				}
				return pgtest.Pass
			})
			for i, c := range life() {
				armed.Store(true)
				if err := c.do(t.Context(), s); !errors.Is(err, errUnknown) {
					t.Fatalf("%s: the error is %v", c.name, err)
				}
				armed.Store(false)
				if c.name == "Claim" { // the worker does not know which chunks it has, and gives them all back
					must(s.Release(t.Context(), "w", job(1).ID))
				}
				err := c.do(t.Context(), s)
				for prefix, refusal := range applied {
					if fate == pgtest.LoseAnswer && strings.HasPrefix(c.name, prefix) && errors.Is(err, refusal) {
						err = nil
					}
				}
				if err != nil {
					t.Fatalf("%s: repeated: %v", c.name, err)
				}
				if d := cmp.Diff(want[i], essence(t, s)); d != "" {
					t.Fatalf("%s: repeated, the job differs from one whose answer came:\n%s", c.name, d)
				}
			}
		})
	}
}

// What processes tell one another is repeated after a lost answer in the same way.
func TestALostAnswerOfAProcessIsRepeated(t *testing.T) {
	cluster := pgtest.Shared(t)
	proxy := cluster.Proxy(t)
	s := openPG(t, proxy.Through(t, cluster.Pool(schema).Database(t)), PostgresOptions{})
	if _, err := s.CreateJob(t.Context(), job(1), "hash", 0); err != nil {
		t.Fatal(err)
	}
	var armed atomic.Bool
	proxy.Decide(func(statement string) pgtest.Fate {
		if statement == "COMMIT" && armed.CompareAndSwap(true, false) {
			return pgtest.LoseAnswer
		}
		return pgtest.Pass
	})
	id := job(1).ID
	for _, c := range []call{
		{"Heartbeat", func(ctx context.Context, s *Store) error { return s.Heartbeat(ctx, "w", time.Now().Add(time.Hour)) }},
		{"PutReach", func(ctx context.Context, s *Store) error {
			return s.PutReach(ctx, batholith.Process{ID: "w", API: true})
		}},
		{"PutLoads", func(ctx context.Context, s *Store) error {
			return s.PutLoads(ctx, "w", []batholith.Load{{Backend: "b", Model: "m"}})
		}},
		{"Undertake", func(ctx context.Context, s *Store) error {
			mine, err := s.Undertake(ctx, "w", "duty")
			if err == nil && !mine {
				err = errors.New("the duty is another worker's")
			}
			return err
		}},
		{"PutForecasts", func(ctx context.Context, s *Store) error {
			return s.PutForecasts(ctx, "w", []batholith.JobForecast{{Job: id}})
		}},
		{"PutFirstError", func(ctx context.Context, s *Store) error {
			return s.PutFirstError(ctx, id, batholith.RecordError{Code: 403, Message: "no"})
		}},
		{"Resign", func(ctx context.Context, s *Store) error { return s.Resign(ctx, "w", "duty") }},
		{"TidyProcesses", func(ctx context.Context, s *Store) error { return s.TidyProcesses(ctx) }},
	} {
		armed.Store(true)
		if err := c.do(t.Context(), s); !errors.Is(err, errUnknown) {
			t.Errorf("%s: the error is %v", c.name, err)
		}
		if err := c.do(t.Context(), s); err != nil {
			t.Errorf("%s: repeated: %v", c.name, err)
		}
	}
	want := "w\nb\n403\n0\n"
	if got := text(t, s.reader, `SELECT id FROM workers`) + text(t, s.reader, `SELECT backend FROM loads`) + text(t, s.reader, `SELECT first_code FROM jobs`) +
		text(t, s.reader, `SELECT count(*) FROM duties`); got != want {
		t.Errorf("there is %q, not %q", got, want)
	}
}

// A connection that is lost before COMMIT was sent, and a server that was restarted, are seen by no caller.
func TestALostConnectionIsRepeatedWithinTheCall(t *testing.T) {
	cluster := pgtest.Shared(t)
	proxy := cluster.Proxy(t)
	s := openPG(t, proxy.Through(t, cluster.Database(t)), PostgresOptions{Patience: time.Hour})
	places := []struct {
		at   string
		nth  int64
		fate pgtest.Fate
	}{{"BEGIN", 1, pgtest.LoseBoth}, {"EXECUTE", 1, pgtest.LoseAnswer}, {"EXECUTE", 2, pgtest.LoseBoth}, {"EXECUTE", 3, pgtest.LoseAnswer}}
	for i, c := range life() {
		p := places[i%len(places)]
		var seen atomic.Int64
		proxy.Decide(func(statement string) pgtest.Fate {
			if statement == p.at && seen.Add(1) == p.nth {
				return p.fate
			}
			return pgtest.Pass
		})
		if err := c.do(t.Context(), s); err != nil {
			t.Fatalf("%s, cut at %s %d: %v", c.name, p.at, p.nth, err)
		}
	}
	proxy.Decide(nil)
	for range 3 { // connections that are cut while they are idle
		proxy.Cut()
		if _, err := s.Job(t.Context(), job(1).Account, job(1).ID); err != nil {
			t.Error(err)
		}
		if err := s.Check(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// What processes read of one another is repeated too, whichever of its statements the connection is lost at.
func TestAReadOfProcessesSurvivesALostConnection(t *testing.T) {
	cluster := pgtest.Shared(t)
	proxy := cluster.Proxy(t)
	s := openPG(t, proxy.Through(t, cluster.Pool(schema).Database(t)), PostgresOptions{Patience: time.Hour})
	must(s.Heartbeat(t.Context(), "w", time.Now().Add(time.Hour)))
	must(s.Learn(t.Context(), batholith.Learned{Backend: "b", Model: "m", Limit: 8, At: time.Now()}))
	for _, c := range []call{
		{"Now", func(ctx context.Context, s *Store) error { _, err := s.Now(ctx); return err }},
		{"Learned", func(ctx context.Context, s *Store) error { _, err := s.Learned(ctx, "b", "m"); return err }},
		{"Unswept", func(ctx context.Context, s *Store) error { _, err := s.Unswept(ctx, time.Now()); return err }},
		{"Processes", func(ctx context.Context, s *Store) error { _, err := s.Processes(ctx); return err }},
		{"LeasedByOthers", func(ctx context.Context, s *Store) error { _, err := s.LeasedByOthers(ctx, "v", "x"); return err }},
		{"Loads", func(ctx context.Context, s *Store) error { _, _, err := s.Loads(ctx, "v", []string{"b"}); return err }},
		{"Forecasts", func(ctx context.Context, s *Store) error { _, err := s.Forecasts(ctx, []string{"x"}); return err }},
		{"FirstError", func(ctx context.Context, s *Store) error {
			if _, err := s.FirstError(ctx, "x"); !errors.Is(err, batholith.ErrNotFound) {
				return err
			}
			return nil
		}},
		{"UsedBeside", func(ctx context.Context, s *Store) error {
			_, err := s.UsedBeside(ctx, "1", "alice", 7, "p")
			return err
		}},
	} {
		for nth := range int64(2) {
			s.clock.own = time.Time{} // the database's clock is read too
			var seen atomic.Int64
			proxy.Decide(func(statement string) pgtest.Fate {
				if statement == "EXECUTE" && seen.Add(1) == nth+1 {
					return pgtest.LoseAnswer
				}
				return pgtest.Pass
			})
			if err := c.do(t.Context(), s); err != nil {
				t.Errorf("%s, cut at statement %d: %v", c.name, nth+1, err)
			}
		}
	}
}

// Two transactions that wait for each other in a circle both happen: one is ended by the server (40P01), and repeated.
func TestADeadlockIsRepeated(t *testing.T) {
	s := openPG(t, pgtest.Shared(t).Pool(schema).Database(t), PostgresOptions{})
	for n := range 2 {
		if _, err := s.CreateJob(t.Context(), job(n), "hash", 0); err != nil {
			t.Fatal(err)
		}
	}
	var first, both sync.WaitGroup
	first.Add(2)
	var attempts atomic.Int64
	errs := make([]error, 2)
	for n := range 2 {
		both.Go(func() {
			met := false
			errs[n] = s.write(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
				attempts.Add(1)
				set := func(n int) error {
					_, err := tx.ExecContext(ctx, `UPDATE jobs SET note = note || 'x' WHERE id = $1`, job(n).ID)
					return err
				}
				if err := set(n); err != nil {
					return err
				}
				if !met { // both have one row before each wants the other's
					met = true
					first.Done()
					first.Wait()
				}
				return set(1 - n)
			})
		})
	}
	both.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if got := text(t, s.reader, `SELECT note FROM jobs`); got != "xx\nxx\n" || attempts.Load() < 3 {
		t.Errorf("the notes are %q after %d attempts", got, attempts.Load())
	}
}

// A server that is stopped, by an operator or by a crash, and started again is waited for. Nothing that was acknowledged is gone.
func TestARestartOfTheServerIsWaitedFor(t *testing.T) {
	cluster := pgtest.Start(t, pgtest.Options{})
	address := cluster.Database(t)
	s := openPG(t, address, PostgresOptions{Patience: time.Hour})
	hasty := openPG(t, address, PostgresOptions{Patience: time.Millisecond})
	changes, cancel := s.Subscribe()
	defer cancel()
	for n, stop := range []func(testing.TB){cluster.Shutdown, cluster.Stop} {
		if _, err := s.CreateJob(t.Context(), job(2*n), "hash", 0); err != nil {
			t.Fatal(err)
		}
		<-changes
		stop(t)
		if err := hasty.Check(t.Context()); err == nil {
			t.Error("a store without a server is ready")
		}
		created := make(chan error, 1)
		go func() { _, err := s.CreateJob(t.Context(), job(2*n+1), "hash", 0); created <- err }()
		cluster.Launch(t)
		if err := <-created; err != nil {
			t.Error(err)
		}
		<-changes // its own change, or that changes may have been missed
		if err := s.Check(t.Context()); err != nil {
			t.Error(err)
		}
		jobs, err := s.Unfinished(t.Context())
		if err != nil || len(jobs) != 2*n+2 {
			t.Errorf("%d jobs, %v", len(jobs), err)
		}
	}
	if _, err := hasty.Unfinished(t.Context()); err != nil {
		t.Error(err)
	}
}

// Ten processes that start at once on an empty database make its schema once.
func TestManyProcessesMigrateOneDatabaseAtOnce(t *testing.T) {
	address := pgtest.Shared(t).Database(t)
	errs := make(chan error, 10)
	for range cap(errs) {
		go func() { errs <- schema(address) }()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	s := openPG(t, address, PostgresOptions{})
	versions := text(t, s.reader, `SELECT count(*) - count(DISTINCT version_id) FROM goose_db_version`)
	if versions != "0\n" {
		t.Errorf("%s migrations ran twice", versions)
	}
	_, err := s.writer.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`)
	must(err)
	_, err = s.writer.Exec(`UPDATE compatibility SET oldest = 9999`)
	must(err)
	if err := schema(address); err == nil || !strings.Contains(err.Error(), "version 9999") {
		t.Errorf("a newer schema: the error is %v", err)
	}
}

// No session waits for ever, holds a lock of a process that is gone, or writes at another isolation level than the statements are made for.
func TestEverySessionIsBounded(t *testing.T) {
	s := openPG(t, pgtest.Shared(t).Pool(schema).Database(t), PostgresOptions{})
	for db, readOnly := range map[*sql.DB]string{s.writer: "off", s.reader: "on"} {
		want := "application_name=batholith default_transaction_isolation=read committed default_transaction_read_only=" + readOnly +
			" idle_in_transaction_session_timeout=10s lock_timeout=10s statement_timeout=30s "
		got := ""
		for _, name := range []string{"application_name", "default_transaction_isolation", "default_transaction_read_only", "idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout"} {
			got += name + "=" + strings.TrimSpace(text(t, db, "SHOW "+name)) + " "
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	if _, err := s.reader.Exec(`DELETE FROM jobs`); err == nil {
		t.Error("a reader can write")
	}
}

// What one store changes wakes the subscribers of another one, also after its listening connection was lost. A store's own change gives one
// value, not two.
func TestAChangeWakesOtherProcesses(t *testing.T) {
	cluster := pgtest.Shared(t)
	address := cluster.Pool(schema).Database(t)
	proxy := cluster.Proxy(t)
	a, b := openPG(t, address, PostgresOptions{}), openPG(t, proxy.Through(t, address), PostgresOptions{})
	changes, cancel := b.Subscribe()
	defer cancel()
	create := func(s *Store, n int) {
		t.Helper()
		if _, err := s.CreateJob(t.Context(), job(n), "hash", 0); err != nil {
			t.Fatal(err)
		}
	}
	create(a, 1)
	<-changes
	must(a.Move(t.Context(), job(1).ID, batholith.StatusSubmitted, batholith.StatusValidating, "", time.Now()))
	<-changes
	for n := range 3 {
		proxy.Cut()
		<-changes // it listens again, and changes may have been missed
		create(a, 10+n)
		<-changes
	}
	create(b, 2)
	<-changes
	create(a, 3) // after the notification of b's own change, had there been one
	<-changes
	cancel()
	must(b.Close()) // and with it the listener
}

// A new subscriber misses nothing although the listener of the last one has just ended.
func TestAStoreListensAgain(t *testing.T) {
	address := pgtest.Shared(t).Pool(schema).Database(t)
	a, b := openPG(t, address, PostgresOptions{}), openPG(t, address, PostgresOptions{})
	for n := range 3 {
		changes, cancel := b.Subscribe()
		if _, err := a.CreateJob(t.Context(), job(n), "hash", 0); err != nil {
			t.Fatal(err)
		}
		<-changes
		cancel()
	}
}

// A server that hangs, with its connections open, delays a call no longer than the call's context allows, and answers when it goes on.
func TestAServerThatHangsIsGivenUp(t *testing.T) {
	cluster := pgtest.Start(t, pgtest.Options{})
	s := openPG(t, cluster.Database(t), PostgresOptions{})
	must(s.Check(t.Context()))
	resume := cluster.Pause(t)
	for _, do := range []func(ctx context.Context) error{
		s.Check,
		func(ctx context.Context) error { return s.Heartbeat(ctx, "w", time.Now().Add(time.Hour)) },
		func(ctx context.Context) error { _, err := s.Unfinished(ctx); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if err := do(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
		cancel()
	}
	resume()
	must(s.Check(t.Context()))
}

// A text with bytes that PostgreSQL cannot store does not stop a job: they are replaced.
func TestATextOfAnyBytesIsStored(t *testing.T) {
	s := openPG(t, pgtest.Shared(t).Pool(schema).Database(t), PostgresOptions{})
	j := job(1)
	j.Tags = []batholith.Tag{{Key: "k", Value: "a\x00b\xff"}}
	if _, err := s.CreateJob(t.Context(), j, "hash", 0); err != nil {
		t.Fatal(err)
	}
	must(s.Move(t.Context(), j.ID, batholith.StatusSubmitted, batholith.StatusValidating, "", time.Now()))
	must(s.Plan(t.Context(), j.ID, []batholith.File{{Key: "in/\x00\xfe"}}, []batholith.Chunk{{Count: 1}}, 1))
	must(s.Note(t.Context(), j.ID, "the server says \x00\xff\xfe"))
	must(s.Unnote(t.Context(), j.ID, "the server says \x00\xff\xfe"))
	must(s.Move(t.Context(), j.ID, batholith.StatusValidating, batholith.StatusFailed, "no: \x00\xff", time.Now()))
	got, err := s.Job(t.Context(), j.Account, j.ID)
	if err != nil || got.Message != "no: \uFFFD\uFFFD" || got.Note != "" || got.Status != batholith.StatusFailed {
		t.Errorf("%+v, %v", got, err)
	}
}
