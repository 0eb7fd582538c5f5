package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// at runs f in a process whose clock shows that much later than midnight of 2000-01-01, with the database at path open.
func at(t *testing.T, path string, clock time.Duration, f func(t *testing.T, s *Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(clock)
		f(t, openStore(t, path))
	})
}

// Two processes whose clocks are days apart share a database: one holds a lease and a publication, the other wants both. The one waits for
// the length of the lease, whatever the clocks show, and no longer.
func TestAWrongClockNeitherEndsALeaseNorProlongsIt(t *testing.T) {
	const lease = 5 * time.Second
	for _, c := range []struct{ holder, other time.Duration }{
		{0, 0}, {0, 6 * time.Second}, {0, 30 * 24 * time.Hour}, {6 * time.Second, 0}, {30 * 24 * time.Hour, 0}, {0, 2 * time.Hour}, {2 * time.Hour, 0},
	} {
		t.Run(fmt.Sprintf("%v and %v", c.holder, c.other), func(t *testing.T) {
			path, id := filepath.Join(t.TempDir(), "jobs.db"), job(1).ID
			at(t, path, c.holder, func(t *testing.T, s *Store) {
				if _, err := s.CreateJob(t.Context(), job(1), "hash", 0); err != nil {
					t.Fatal(err)
				}
				must(s.Heartbeat(t.Context(), "w", time.Now().Add(lease)))
				begin(t.Context(), s, id)
				if _, err := s.ClaimPublication(t.Context(), id, "w", true, time.Now()); err != nil {
					t.Fatal(err)
				}
			})
			at(t, path, c.other, func(t *testing.T, s *Store) {
				takes := func() (chunks int, err error) {
					t.Helper()
					must(s.Heartbeat(t.Context(), "other", time.Now().Add(lease))) // which deletes rows of workers that are long gone
					_, held := s.ClaimPublication(t.Context(), id, "other", true, time.Now())
					got, err := s.Claim(t.Context(), "other", id, 9, time.Now())
					must(err)
					return len(got), held
				}
				for wait := range 5 {
					if n, err := takes(); n != 0 || !errors.Is(err, batholith.ErrHeld) {
						t.Fatalf("after %d s it took %d chunks, and the publication: %v", wait, n, err)
					}
					time.Sleep(time.Second)
				}
				if n, err := takes(); n != 2 || err != nil {
					t.Errorf("after the length of the lease it took %d chunks, and the publication: %v", n, err)
				}
			})
		})
	}
}
