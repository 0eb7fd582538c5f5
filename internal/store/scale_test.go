package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/pgtest"
)

// The benchmarks of docs/decisions/0037-scale.md. Each reports the processor time that the server needs for one operation, which depends less
// on other load of the machine than the time that passes.

// serverTime is the processor time in ms that the server of a store has used.
func serverTime(b *testing.B, s *Store) float64 {
	b.Helper()
	var pid string
	if err := s.reader.QueryRow(`SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)`).Scan(&pid); err != nil {
		b.Fatal(err)
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.Fatal(err)
	}
	var ticks float64 // of 10 ms
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		f := strings.Fields(rest)
		if len(f) < 13 || f[1] != pid {
			continue
		}
		for _, column := range f[11:13] {
			n, _ := strconv.ParseFloat(column, 64)
			ticks += n
		}
	}
	return 10 * ticks
}

// logBytes is the number of bytes in the server's write-ahead log.
func logBytes(b *testing.B, s *Store) (bytes float64) {
	b.Helper()
	if err := s.reader.QueryRow(`SELECT (pg_current_wal_insert_lsn() - '0/0')::float8`).Scan(&bytes); err != nil {
		b.Fatal(err)
	}
	return bytes
}

// scaled returns a store on PostgreSQL with so many workers and unfinished jobs, each with one chunk.
func scaled(b *testing.B, workers, jobs int) *Store {
	b.Helper()
	address := pgtest.Start(b, pgtest.Options{Durable: true}).Database(b)
	s, err := OpenPostgres(b.Context(), address, PostgresOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	if jobs > 0 {
		if _, err := s.CreateJob(b.Context(), job(0), "hash", 0); err != nil {
			b.Fatal(err)
		}
	}
	pgtest.Exec(b, address,
		fmt.Sprintf(`INSERT INTO workers (id, beat, lease) SELECT 'w' || n, n, 3600000 FROM generate_series(1, %d) n`, workers),
		fmt.Sprintf(`INSERT INTO jobs (id, account, seq, region, owner, name, model, request, status, message, submitted, modified, ended, expires,
				total, processed, succeeded, errored, input, output, cache_read, cache_write, attempts, active, sealed, unclean)
			SELECT id || n, account, seq + n, region, owner, name || n, model, request, 'InProgress', message, submitted, modified, ended, expires,
				total, processed, succeeded, errored, input, output, cache_read, cache_write, attempts, active, sealed, unclean
			FROM jobs, generate_series(1, %d) n`, max(jobs-1, 0)), `ANALYZE`)
	return s
}

// report runs an operation b.N times in parallel goroutines and reports the server's time for each.
func report(b *testing.B, s *Store, parallel int, do func(ctx context.Context, n int) error) {
	before, log := serverTime(b, s), logBytes(b, s)
	b.ResetTimer()
	var wg sync.WaitGroup
	for p := range parallel {
		wg.Go(func() {
			for n := p; n < b.N; n += parallel {
				if err := do(b.Context(), n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric((serverTime(b, s)-before)/float64(b.N), "server-ms/op")
	b.ReportMetric((logBytes(b, s)-log)/float64(b.N), "log-B/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}

func BenchmarkHeartbeatAmongWorkers(b *testing.B) {
	for _, workers := range []int{10, 1000} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			s := scaled(b, workers, 0)
			report(b, s, 8, func(ctx context.Context, n int) error {
				return s.Heartbeat(ctx, fmt.Sprint("w", 1+n%workers), time.Now().Add(time.Hour))
			})
		})
	}
}

func BenchmarkLookAtWorkers(b *testing.B) {
	s := scaled(b, 1000, 0)
	report(b, s, 4, func(ctx context.Context, n int) error {
		_, _, err := s.watch.look(ctx, s.reader)
		return err
	})
}

func BenchmarkUnfinishedJobs(b *testing.B) {
	for _, jobs := range []int{100, 10000} {
		b.Run(fmt.Sprint(jobs), func(b *testing.B) {
			s := scaled(b, 10, jobs)
			report(b, s, 4, func(ctx context.Context, n int) error {
				all, err := s.Unfinished(ctx)
				if err == nil && len(all) != jobs {
					err = fmt.Errorf("%d jobs", len(all))
				}
				return err
			})
		})
	}
}

// BenchmarkCommits commits a record of each of many chunks, of one job, by eight workers.
func BenchmarkCommits(b *testing.B) {
	s := scaled(b, 1, 1)
	ctx := b.Context()
	id := job(0).ID
	must(s.Move(ctx, id, batholith.StatusSubmitted, batholith.StatusValidating, "", time.Now()))
	chunks := make([]batholith.Chunk, 20000)
	for n := range chunks {
		chunks[n] = batholith.Chunk{N: n, Count: 512}
	}
	must(s.Plan(ctx, id, nil, chunks, int64(512*len(chunks))))
	must(s.Move(ctx, id, batholith.StatusValidating, batholith.StatusScheduled, "", time.Now()))
	must(s.Move(ctx, id, batholith.StatusScheduled, batholith.StatusInProgress, "", time.Now()))
	const workers = 8
	var owned [workers][]batholith.Chunk
	for w := range workers {
		must(s.Heartbeat(ctx, fmt.Sprint("c", w), time.Now().Add(time.Hour)))
		var err error
		owned[w], err = s.Claim(ctx, fmt.Sprint("c", w), id, 2000, time.Now())
		must(err)
	}
	report(b, s, workers, func(ctx context.Context, n int) error {
		w := n % workers
		k := n / workers
		chunk := owned[w][k/512%2000]
		done := batholith.NewBits(chunk.Count)
		done.Set(k % 512)
		_, err := s.Commit(ctx, batholith.Commit{Segment: batholith.Segment{Job: id, Key: fmt.Sprint("s", n, "/", b.N)}, Worker: fmt.Sprint("c", w),
			Parts: []batholith.CommitPart{{Chunk: chunk.N, Epoch: chunk.Epoch, Done: done}}, Counts: batholith.Counts{Processed: 1, Succeeded: 1}})
		return err
	})
}

// BenchmarkCreations creates jobs in eight accounts.
func BenchmarkCreations(b *testing.B) {
	s := scaled(b, 1, 0)
	report(b, s, 8, func(ctx context.Context, n int) error {
		j := job(n)
		j.Account = fmt.Sprintf("%012d", n%8)
		_, err := s.CreateJob(ctx, j, "hash", 0)
		return err
	})
}
