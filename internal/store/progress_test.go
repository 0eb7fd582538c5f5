package store

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

// The workers of a job write no common row: neither a claim nor a commit changes the job's row, or the progress of another worker.
func TestClaimsAndCommitsWriteNoRowOfTheirJob(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "jobs.db"))
	id := running(t, s, 1, 2)
	for _, w := range []string{"w1", "w2"} {
		must(s.Heartbeat(t.Context(), w, time.Now().Add(time.Minute)))
		var chunks []batholith.Chunk
		calls := []call{
			{"Claim", func(ctx context.Context, s *Store) (err error) {
				chunks, err = s.Claim(ctx, w, id, 1, time.Now())
				return err
			}},
		}
		for r := range 2 {
			calls = append(calls, call{"Commit", func(ctx context.Context, s *Store) error {
				c := oneRecord(chunks[0], r)
				c.Segment.Key += w
				_, err := s.Commit(ctx, c)
				return err
			}})
		}
		for i, c := range calls {
			// The rows of progress and job_usage are the worker's own.
			want := []touched{{"progress", "UPDATE"}, {"segments", "INSERT"}, {"chunks", "UPDATE"}, {"job_usage", "UPDATE"}}
			switch i {
			case 0:
				want = want[2:3]
			case 1:
				want[0].op, want[3].op = "INSERT", "INSERT"
			}
			if got := touches(t, s, c); !slices.Equal(got, want) {
				t.Errorf("%s %d of %s writes %v, not %v", c.name, i, w, got, want)
			}
		}
	}
	if got := text(t, s.reader, `SELECT worker || processed FROM progress ORDER BY worker`) + text(t, s.reader, `SELECT processed FROM jobs`); got != "w12\nw22\n0\n" {
		t.Errorf("the workers and the job have counted %q", got)
	}
	if _, err := s.SealToPublish(t.Context(), id, "", "w1"); err != nil {
		t.Error(err)
	}
	if got := text(t, s.reader, `SELECT count(*) FROM progress`) + text(t, s.reader, `SELECT processed FROM jobs`); got != "0\n4\n" {
		t.Errorf("after the seal the rows and the job's counter are %q", got)
	}
}

// running creates job n and takes it to InProgress, with chunks of three records.
func running(tb testing.TB, s *Store, n, chunks int) string {
	tb.Helper()
	id := validating(tb, s, n)
	var cs []batholith.Chunk
	for i := range chunks {
		cs = append(cs, batholith.Chunk{N: i, Count: 3})
	}
	must(s.Plan(tb.Context(), id, nil, cs, int64(3*chunks)))
	must(s.Move(tb.Context(), id, batholith.StatusValidating, batholith.StatusScheduled, "", time.Now()))
	must(s.Move(tb.Context(), id, batholith.StatusScheduled, batholith.StatusInProgress, "", time.Now()))
	return id
}

// A text that is no list of sums is an error, and never a wrong counter.
func TestSumsThatCannotBeReadAreNoCounters(t *testing.T) {
	for _, text := range []any{"", "1", "1 2", "1 2 3 4", "1 x 3", "1 2.5 3", []byte("9223372036854775808 0 0"), 7} {
		n := int64(5)
		if err := (adding{to: []*int64{&n}}).Scan(text); err == nil || n != 5 {
			t.Errorf("%v: %v, and the counter is %d", text, err, n)
		}
	}
	for text, want := range map[string]int64{"0 7 1": 12, "1 0 1": 5 + 1<<32, "0 4294967296 1": 5 + 1<<32, "2147483648 0 1": 1<<63 - 1, "2147483647 4294967295 1": 1<<63 - 1, "2147483647 4294967296 1": 1<<63 - 1} {
		n, modified := int64(5), int64(3)
		if err := (adding{[]*int64{&n}, &modified}).Scan(text); err != nil || n != want || modified != 3 {
			t.Errorf("%s: %v, and the counter is %d, not %d; modified %d", text, err, n, want, modified)
		}
	}
}
