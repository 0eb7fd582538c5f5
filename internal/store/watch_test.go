package store

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// looking counts the queries.
type looking struct {
	queryer
	n int
}

func (l *looking) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	l.n++
	return l.queryer.QueryContext(ctx, query, args...)
}

// The rows that all workers read of each other in a second grow with the number of workers, and not with its square.
func TestManyWorkersDoNotReadEachOtherEverySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, workers := range []int{3, 200, 1000} {
			s := openStore(t, filepath.Join(t.TempDir(), "jobs.db"))
			for n := range workers {
				if _, err := s.writer.Exec(`INSERT INTO workers (id, beat, lease) VALUES ($1, 1, 3600000)`, fmt.Sprint("w", n)); err != nil {
					t.Fatal(err)
				}
			}
			const seconds = 60
			db := &looking{queryer: s.reader}
			for range seconds {
				living, _, err := s.watch.glance(t.Context(), db)
				if err != nil || len(living) != workers {
					t.Fatalf("%d of %d workers live, %v", len(living), workers, err)
				}
				time.Sleep(time.Second)
			}
			if rows := db.n * workers / seconds; rows > 200 {
				t.Errorf("%d workers: each reads %d rows a second; want at most 200", workers, rows)
			}
			if workers <= fewWorkers && db.n != seconds {
				t.Errorf("%d workers: %d looks in %d seconds", workers, db.n, seconds)
			}
			s.Close()
		}
	})
}

// Whoever takes over sees a lease that was renewed a moment ago.
func TestATakeOverLooksAfresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, filepath.Join(t.TempDir(), "jobs.db"))
		for n := range 2 * fewWorkers {
			if _, err := s.writer.Exec(`INSERT INTO workers (id, beat, lease) VALUES ($1, 1, 1000)`, fmt.Sprint("w", n)); err != nil {
				t.Fatal(err)
			}
		}
		ctx := t.Context()
		if _, _, err := s.watch.look(ctx, s.reader); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // all leases are lost
		if living, _, err := s.watch.look(ctx, s.reader); err != nil || len(living) != 0 {
			t.Fatalf("%d workers live, %v", len(living), err)
		}
		if err := s.Heartbeat(ctx, "w7", time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		living, _, err := s.watch.look(ctx, s.reader)
		if err != nil || len(living) != 1 || living[0] != any("w7") {
			t.Errorf("%v live, %v", living, err)
		}
		s.Close()
	})
}

// The database is away for longer than a lease, and this process is the first to come back. It leaves the others the time to come back too, and
// takes over their chunks after the length of a lease.
func TestAfterAnOutageNoWorkerLosesItsChunksAtOnce(t *testing.T) {
	const lease = 4 * time.Second
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, filepath.Join(t.TempDir(), "jobs.db"))
		id := job(1).ID
		if _, err := s.CreateJob(t.Context(), job(1), "hash", 0); err != nil {
			t.Fatal(err)
		}
		beat := func(worker string) { must(s.Heartbeat(t.Context(), worker, time.Now().Add(lease))) }
		beat("w")
		begin(t.Context(), s, id)
		beat("first")
		away, cancel := context.WithCancel(t.Context())
		cancel()
		for range 10 {
			time.Sleep(lease / 2)
			if s.Heartbeat(away, "first", time.Now().Add(lease)) == nil {
				t.Fatal("a heartbeat that is cancelled succeeds")
			}
		}
		for wait := time.Duration(0); wait < lease; wait += lease / 4 {
			beat("first")
			got, err := s.Claim(t.Context(), "first", id, 9, time.Now())
			must(err)
			if ended, _ := s.Leases(); len(got) > 0 || ended > 0 {
				t.Fatalf("%s after the outage it has taken %d chunks and seen %d leases end", wait, len(got), ended)
			}
			time.Sleep(lease / 4)
		}
		beat("first")
		got, err := s.Claim(t.Context(), "first", id, 9, time.Now())
		must(err)
		if ended, next := s.Leases(); len(got) != 2 || ended != 1 || time.Until(next) != lease {
			t.Errorf("after a lease it has taken %d chunks, has seen %d leases end, and the next in %s", len(got), ended, time.Until(next))
		}
	})
}
