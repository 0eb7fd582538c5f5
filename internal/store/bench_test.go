package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

// A timer collects how long each call took: the median is what a client sees, and one slow disk does not decide it.
type timer []time.Duration

func (t *timer) do(b *testing.B, f func() error) {
	b.Helper()
	start := time.Now()
	if err := f(); err != nil {
		b.Fatal(err)
	}
	*t = append(*t, time.Since(start))
}

func (t timer) report(b *testing.B) {
	slices.Sort(t)
	b.ReportMetric(float64(t[len(t)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(t[len(t)*99/100].Microseconds()), "p99-µs")
}

func benchStore(b *testing.B) *Store { return openStore(b, filepath.Join(b.TempDir(), "jobs.db")) }

// BenchmarkSync is the floor of everything durable: one page appended to a file, and fsync.
func BenchmarkSync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "floor"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, 4096)
	var t timer
	for b.Loop() {
		t.do(b, func() error {
			if _, err := f.Write(page); err != nil {
				return err
			}
			return f.Sync()
		})
	}
	t.report(b)
}

func BenchmarkCreate(b *testing.B) {
	s := benchStore(b)
	var t timer
	n := 0
	for b.Loop() {
		n++
		t.do(b, func() error { _, err := s.CreateJob(b.Context(), job(n), "hash", 0); return err })
	}
	t.report(b)
}

// many fills a store with n jobs that are over, faster than creating them one by one would.
func many(b *testing.B, n int) *Store {
	b.Helper()
	s := benchStore(b)
	err := s.write(b.Context(), func(ctx context.Context, tx *sql.Tx) error {
		for i := range n {
			j := job(i)
			j.Status = batholith.StatusSubmitted
			if err := insertJob(b.Context(), tx, j, int64(i+1), "hash"); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`UPDATE jobs SET active = 0, unclean = 0, status = CASE WHEN seq % 100 = 0 THEN 'Failed' ELSE 'Completed' END`)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkAmong100k reads among 100,000 jobs that are over.
func BenchmarkAmong100k(b *testing.B) {
	const n = 100_000
	s := many(b, n)
	list := func(q batholith.ListQuery) func(*testing.B) {
		q.Account, q.Limit = "123456789012", max(q.Limit, 100)
		return func(b *testing.B) {
			var t timer
			for b.Loop() {
				t.do(b, func() error { _, _, err := s.Jobs(b.Context(), q); return err })
			}
			t.report(b)
		}
	}
	b.Run("List", list(batholith.ListQuery{}))
	b.Run("ListMiddle", list(batholith.ListQuery{Cursor: n / 2}))
	b.Run("ListStatus", list(batholith.ListQuery{Status: batholith.StatusFailed}))
	b.Run("ListRareName", list(batholith.ListQuery{NameContains: "99999"}))
	b.Run("List1000", list(batholith.ListQuery{Limit: 1000}))
	b.Run("Get", func(b *testing.B) {
		var t timer
		i := 0
		for b.Loop() {
			i = (i + 7919) % n
			t.do(b, func() error { _, err := s.Job(b.Context(), "123456789012", job(i).ID); return err })
		}
		t.report(b)
	})
	b.Run("Unfinished", func(b *testing.B) {
		var t timer
		for b.Loop() {
			t.do(b, func() error { _, err := s.Unfinished(b.Context()); return err })
		}
		t.report(b)
	})
	b.Run("Create", func(b *testing.B) {
		var t timer
		i := n
		for b.Loop() {
			i++
			t.do(b, func() error { _, err := s.CreateJob(b.Context(), job(i), "hash", 0); return err })
		}
		t.report(b)
	})
	b.Run("Open", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "jobs.db")
		if _, err := s.writer.Exec(`VACUUM INTO '` + path + `'`); err != nil {
			b.Fatal(err)
		}
		var t timer
		for b.Loop() {
			t.do(b, func() error {
				s, err := Open(b.Context(), path)
				if err != nil {
					return err
				}
				if _, err := s.Unfinished(b.Context()); err != nil {
					return err
				}
				return s.Close()
			})
		}
		t.report(b)
	})
}

// plannedJob is a job of 10,000 files and 20,000 chunks, which is Validating.
func plannedJob(b *testing.B, s *Store, n int) (id string, files []batholith.File, chunks []batholith.Chunk) {
	b.Helper()
	j, err := s.CreateJob(b.Context(), job(n), "hash", 0)
	if err == nil {
		err = s.Move(b.Context(), j.ID, batholith.StatusSubmitted, batholith.StatusValidating, "", j.Submitted)
	}
	if err != nil {
		b.Fatal(err)
	}
	for i := range 10_000 {
		files = append(files, batholith.File{N: i, Key: fmt.Sprintf("data/2026/08/part-%05d.jsonl", i), ETag: "0123456789abcdef0123456789abcdef",
			Bytes: 1 << 20, Records: 100, Output: fmt.Sprintf("2026/08/part-%05d.jsonl.out", i), Index: fmt.Sprintf("out/%s/index/%05d", j.ID, i)})
	}
	for i := range 20_000 {
		chunks = append(chunks, batholith.Chunk{N: i, File: i / 2, First: int64(i%2) * 50, Count: 50, Offset: 1 << 19, Bytes: 1 << 19,
			IndexOffset: 1600, IndexBytes: 1600})
	}
	return j.ID, files, chunks
}

func BenchmarkPlan20000(b *testing.B) {
	s := benchStore(b)
	id, files, chunks := plannedJob(b, s, 1)
	var t timer
	for b.Loop() {
		t.do(b, func() error { return s.Plan(b.Context(), id, files, chunks, 1_000_000) })
	}
	t.report(b)
}

// BenchmarkWork claims eight chunks at a time of a job of 20,000, and commits them in two segments.
func BenchmarkWork(b *testing.B) {
	s := benchStore(b)
	var claims, commits timer
	var chunks []batholith.Chunk
	var id string
	n := 0
	next := func() {
		n++
		var files []batholith.File
		id, files, chunks = plannedJob(b, s, n)
		err := s.Plan(b.Context(), id, files, chunks, 1_000_000)
		path := []batholith.Status{batholith.StatusValidating, batholith.StatusScheduled, batholith.StatusInProgress}
		for i, to := range path[1:] {
			err = errors.Join(err, s.Move(b.Context(), id, path[i], to, "", time.Now()))
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	next()
	i := 0
	for b.Loop() {
		var got []batholith.Chunk
		claims.do(b, func() (err error) { got, err = s.Claim(b.Context(), "w", id, 8, time.Now()); return err })
		if len(got) == 0 {
			b.StopTimer()
			next()
			b.StartTimer()
			continue
		}
		for half := range 2 {
			i++
			c := batholith.Commit{Segment: batholith.Segment{Job: id, Key: fmt.Sprintf("seg%09d", i)}, Worker: "w"}
			for _, chunk := range got {
				done := batholith.NewBits(50)
				for r := half * 25; r < half*25+25; r++ {
					done.Set(r)
				}
				c.Parts = append(c.Parts, batholith.CommitPart{Chunk: chunk.N, Epoch: chunk.Epoch, Done: done})
			}
			records := int64(25 * len(got))
			c.Counts = batholith.Counts{Processed: records, Succeeded: records}
			commits.do(b, func() error { _, err := s.Commit(b.Context(), c); return err })
		}
	}
	slices.Sort(claims)
	b.ReportMetric(float64(claims[len(claims)/2].Microseconds()), "claim-p50-µs")
	commits.report(b)
}

// BenchmarkTerabyte plans and forgets a job of 1 TB, a million chunks, while two workers renew their leases, one of this process and one
// with a store of its own, as another process has it. It reports the slowest heartbeat of each, and by how much the heap grew.
func BenchmarkTerabyte(b *testing.B) {
	path := filepath.Join(b.TempDir(), "jobs.db")
	s, other := openStore(b, path), openStore(b, path)
	id := validating(b, s, 1)
	for b.Loop() {
		began := heap()
		var most uint64
		slowest := beating(b, s, other)
		at := time.Now()
		err := s.PlanFrom(b.Context(), id, []batholith.File{{Key: "k"}}, func(yield func(batholith.Chunk) bool) {
			for c := range chunksOfAJob(1 << 20) {
				if c.N%(1<<16) == 0 {
					most = max(most, heap())
				}
				if !yield(c) {
					return
				}
			}
		}, 512<<20)
		b.ReportMetric(time.Since(at).Seconds(), "plan-s")
		b.ReportMetric(float64(max(most, began)-began)/(1<<20), "heap-MiB")
		at = time.Now()
		err = errors.Join(err, s.Move(b.Context(), id, batholith.StatusValidating, batholith.StatusFailed, "", time.Now()), s.Forget(b.Context(), id, time.Now()))
		b.ReportMetric(time.Since(at).Seconds(), "forget-s")
		took := slowest()
		b.ReportMetric(took[0].Seconds()*1000, "heartbeat-max-ms")
		b.ReportMetric(took[1].Seconds()*1000, "other-heartbeat-max-ms")
		if err != nil {
			b.Fatal(err)
		}
	}
}

// heap is how much of it is in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// beating renews a lease in each store ten times a second, until the function is called that it returns: it tells how long the slowest took.
func beating(b *testing.B, stores ...*Store) func() []time.Duration {
	ctx, cancel := context.WithCancel(b.Context())
	slowest := make([]time.Duration, len(stores))
	var wg sync.WaitGroup
	for i, s := range stores {
		wg.Go(func() {
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
				at := time.Now()
				if err := s.Heartbeat(b.Context(), fmt.Sprint("w", i), at.Add(5*time.Second)); err != nil {
					b.Error(err)
				}
				slowest[i] = max(slowest[i], time.Since(at))
			}
		})
	}
	return func() []time.Duration {
		cancel()
		wg.Wait()
		return slowest
	}
}
