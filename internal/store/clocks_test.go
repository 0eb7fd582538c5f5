package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/pgtest"
)

// process runs f in a process with a store on the PostgreSQL database at address, so long after the begin of the test. Its own clock is ahead
// of the database's by skew.
func process(t *testing.T, address string, elapsed, skew time.Duration, f func(*testing.T, *Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(100*24*time.Hour + elapsed + skew)
		s := openPG(t, address, PostgresOptions{})
		s.dialect.now = func(context.Context, queryer) (time.Time, error) { return time.Now().Add(-skew), nil }
		s.clock.own = time.Time{} // of the server's own clock
		f(t, s)
	})
}

// A job goes through its life by the calls of processes whose clocks are apart. The database holds the same as if they all agreed.
func TestClocksThatAreApartStoreTheSameTimes(t *testing.T) {
	cluster := pgtest.Shared(t)
	whole := func(skews func(step int) time.Duration) string {
		address, calls, state := cluster.Database(t), life(), ""
		for step := 0; len(calls) > 0; step++ {
			process(t, address, time.Duration(step)*10*time.Second, skews(step), func(t *testing.T, s *Store) {
				n := min(5, len(calls))
				for _, c := range calls[:n] {
					time.Sleep(time.Second)
					if err := c.do(t.Context(), s); err != nil {
						t.Fatalf("%s: %v", c.name, err)
					}
				}
				if calls = calls[n:]; len(calls) == 0 {
					for _, table := range []string{"jobs", "events", "limits", "accounts", "progress"} {
						state += text(t, s.reader, `SELECT t::text FROM `+table+` AS t ORDER BY 1`)
					}
				}
			})
		}
		return state
	}
	want := whole(func(int) time.Duration { return 0 })
	if strings.Count(want, "\n") < 10 {
		t.Fatalf("the database holds\n%s", want)
	}
	rnd := rand.New(rand.NewPCG(6, 5))
	got := whole(func(int) time.Duration {
		return []time.Duration{6 * time.Second, -6 * time.Second, 5 * time.Minute, -5 * time.Minute, 0, 50 * 24 * time.Hour, -50 * 24 * time.Hour}[rnd.IntN(7)]
	})
	if d := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); d != "" {
		t.Error(d)
	}
}

// What a caller gets back is a time of its own clock where it compares it with that, and one of the database's clock otherwise.
func TestCallersWithWrongClocksGetTheTimesThatTheyNeed(t *testing.T) {
	address := pgtest.Shared(t).Database(t)
	process(t, address, 0, 5*time.Minute, func(t *testing.T, s *Store) {
		must(s.Learn(t.Context(), batholith.Learned{Backend: "b", Model: "m", Limit: 8, At: time.Now().Add(-time.Hour)}))
		j, err := s.CreateJob(t.Context(), job(1), "hash", 0)
		must(err)
		if ahead := time.Since(j.Submitted); ahead != 5*time.Minute || j.Expires.Sub(j.Submitted) != time.Hour {
			t.Errorf("the job was submitted %v ago, and ends after %v", ahead, j.Expires.Sub(j.Submitted))
		}
		if now, err := s.Now(t.Context()); err != nil || time.Since(now) != 5*time.Minute {
			t.Errorf("the database's clock is behind by %v, %v", time.Since(now), err)
		}
	})
	process(t, address, time.Minute, -time.Hour, func(t *testing.T, s *Store) {
		if l, err := s.Learned(t.Context(), "b", "m"); err != nil || time.Since(l.At) != time.Hour+time.Minute {
			t.Errorf("the limit was learned %v ago, %v", time.Since(l.At), err)
		}
		j, err := s.CreateJob(t.Context(), job(2), "hash", 0) // which was created later, whatever its caller's clock says
		must(err)
		first, err := s.Find(t.Context(), job(1).ID)
		if err != nil || j.Submitted.Sub(first.Submitted) != time.Minute || j.Expires.Sub(j.Submitted) != time.Hour {
			t.Errorf("submitted at %v and %v, %v", first.Submitted, j.Submitted, err)
		}
	})
}

// The database's clock is read again when its reading is old, and when this machine has slept or its clock was set.
func TestTheDatabasesClockIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads, ahead := 0, time.Hour
		s := &Store{dialect: dialect{now: func(context.Context, queryer) (time.Time, error) {
			reads++
			return time.Now().Add(ahead), nil
		}}}
		check := func(wantReads int, want time.Duration) {
			t.Helper()
			now, err := s.now(t.Context(), nil)
			if err != nil || time.Until(now) != want || reads != wantReads {
				t.Errorf("after %d readings, not %d, the database's clock is ahead by %v, not %v; %v", reads, wantReads, time.Until(now), want, err)
			}
		}
		check(1, time.Hour)
		time.Sleep(clockAge - 1)
		check(1, time.Hour)
		ahead = 2 * time.Hour // another server took over
		check(1, time.Hour)
		time.Sleep(1)
		check(2, 2*time.Hour)
		s.clock.own = s.clock.own.Round(0).Add(-time.Minute) // a wall clock that went on by more than the monotonic one
		check(3, 2*time.Hour)
		s.dialect.now = func(context.Context, queryer) (time.Time, error) { return time.Time{}, fmt.Errorf("away") }
		now, err := s.now(t.Context(), nil)
		if err != nil || time.Until(now) != 2*time.Hour {
			t.Errorf("a reading that is not old is not used: %v", err)
		}
		time.Sleep(clockAge)
		if _, err := s.now(t.Context(), nil); err == nil {
			t.Error("the time is known although the database cannot be asked")
		}
	})
}
