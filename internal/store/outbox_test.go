package store

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/pgtest"
)

// freshPG opens a store on an empty database of PostgreSQL until the test ends.
func freshPG(t testing.TB) *Store {
	t.Helper()
	return openPG(t, pgtest.Shared(t).Database(t), PostgresOptions{})
}

// In whatever order transactions insert events and commit them, and whoever reads meanwhile, a reader that stores the last number sees each
// event once, and those of one job in their order.
func TestAReaderOfTheOutboxMissesNoEvent(t *testing.T) {
	s := freshPG(t)
	ctx := t.Context()
	const jobs, changes = 5, 4
	rnd := rand.New(rand.NewPCG(17, 4))
	for n := range jobs {
		if _, err := s.CreateJob(ctx, job(n), "hash", 0); err != nil {
			t.Fatal(err)
		}
	}
	type reader struct {
		last int64
		seen []string
	}
	readers := make([]reader, 2)
	look := func(r *reader, limit int) (n int) {
		events, err := s.Events(ctx, r.last, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Seq <= r.last {
				t.Fatalf("event %d comes after event %d", e.Seq, r.last)
			}
			r.last = e.Seq
			r.seen = append(r.seen, e.Job+e.Message)
		}
		return len(events)
	}
	open := map[int]*sql.Tx{} // by job, which has one transaction at a time, since its row is locked
	done := make([]int, jobs)
	for left := jobs * changes; left > 0 || len(open) > 0; {
		n := rnd.IntN(jobs)
		switch tx := open[n]; {
		case rnd.IntN(3) == 0:
			look(&readers[rnd.IntN(len(readers))], 1+rnd.IntN(3))
		case tx == nil && done[n] < changes:
			tx := patient(t, s)
			must(insertEvent(ctx, tx, job(n).ID, batholith.StatusValidating, fmt.Sprint(" ", done[n]), 1))
			open[n] = tx
		case tx != nil:
			must(tx.Commit())
			delete(open, n)
			done[n]++
			left--
		}
	}
	for i := range readers {
		r := &readers[i]
		for look(r, 7) > 0 {
		}
		next := map[string]int{}
		for _, one := range r.seen {
			next[one[:len(job(0).ID)]]++
			want := "" // the creation
			if k := next[one[:len(job(0).ID)]] - 2; k >= 0 {
				want = fmt.Sprint(" ", k)
			}
			if got := one[len(job(0).ID):]; got != want {
				t.Errorf("reader %d saw event %q of a job in place of %q", i, got, want)
			}
		}
		if len(r.seen) != jobs*(changes+1) {
			t.Errorf("reader %d saw %d of %d events", i, len(r.seen), jobs*(changes+1))
		}
	}
}

// A numbering that meets another one waits for it, and gives greater numbers.
func TestTwoReadersNumberNoEventTwice(t *testing.T) {
	s := freshPG(t)
	ctx := t.Context()
	for n := range 20 {
		if _, err := s.CreateJob(ctx, job(n), "hash", 0); err != nil {
			t.Fatal(err)
		}
	}
	errs := make(chan error)
	for range 4 {
		go func() {
			events, err := s.Events(context.WithoutCancel(ctx), 0, 100)
			if err == nil && len(events) != 20 {
				err = fmt.Errorf("%d events", len(events))
			}
			for i, e := range events {
				if e.Seq != int64(i+1) {
					err = fmt.Errorf("event %d has the number %d", i, e.Seq)
				}
			}
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// After an upgrade there may be more events without a place than one call takes. Each call answers rightly meanwhile.
func TestEventsOfAnAccountAreWholeWhileTheyAreBeingPlaced(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "jobs.db"))
	for n := range 2 {
		j := job(n)
		j.Account = fmt.Sprintf("%012d", n)
		if _, err := s.CreateJob(t.Context(), j, "hash", 0); err != nil {
			t.Fatal(err)
		}
	}
	const many = batchRows*placeBatches + 10
	_, err := s.writer.Exec(fmt.Sprintf(`WITH RECURSIVE k(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM k WHERE n < %d)
		INSERT INTO events (job, status, message, at) SELECT '%s', 'Validating', '', n FROM k`, many, job(0).ID))
	must(err)
	for call := range 3 {
		for n, events := range map[string]int{"000000000000": 50, "000000000001": 1} {
			got, err := s.AccountEvents(t.Context(), n, 0, 50)
			if err != nil || len(got) != events || got[0].Job != job(int(n[11]-'0')).ID {
				t.Fatalf("call %d: account %s has %d events, %v", call, n, len(got), err)
			}
		}
	}
	if got := text(t, s.reader, `SELECT count(*) FROM account_events`); got != fmt.Sprintln(many+2) {
		t.Errorf("events with a place: %s", got)
	}
}
