package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/pgtest"
)

// BenchmarkWorkers measures one database under 1, 4 and 16 workers of one job. Each claims a chunk of 8 records, and commits two segments of 4
// records: so 1,000 records are 125 claims and 250 commits, many more than in a job with whole chunks. The floor is a transaction that
// adds to a row of the worker's own, by the same connections, in the same run.
func BenchmarkWorkers(b *testing.B) {
	for _, d := range []struct {
		name string
		open func(*testing.B) *Store
	}{
		{"SQLite", benchStore},
		{"PostgreSQL", func(b *testing.B) *Store { return openBench(b, pgtest.Options{Durable: true}) }},
		{"PostgreSQLWithoutSync", func(b *testing.B) *Store { return openBench(b, pgtest.Options{}) }},
	} {
		for _, workers := range []int{1, 4, 16} {
			b.Run(fmt.Sprint(d.name, "/", workers), func(b *testing.B) {
				s := d.open(b)
				id := started(b, s, b.N*workers)
				_, err := s.writer.Exec(`CREATE TABLE floor (id INTEGER PRIMARY KEY, n BIGINT)`)
				must(err)
				for w := range workers {
					_, err := s.writer.Exec(`INSERT INTO floor VALUES ($1, 0)`, w)
					must(err)
					must(s.Heartbeat(b.Context(), fmt.Sprint("w", w), time.Now().Add(time.Hour)))
				}
				b.ResetTimer()
				transactions, took := each(b, workers, func(w int) int {
					name, n := fmt.Sprint("w", w), 0
					for range b.N {
						chunks, err := s.Claim(b.Context(), name, id, 1, time.Now())
						must(err)
						n++
						for _, c := range chunks {
							for half := range 2 {
								_, err := s.Commit(b.Context(), quarter(name, c, half))
								must(err)
								n++
							}
						}
					}
					return n
				})
				b.ReportMetric(float64(transactions)/took.Seconds(), "tx/s")
				floor, took := each(b, workers, func(w int) int {
					for range 2 * b.N {
						must(s.write(b.Context(), func(ctx context.Context, tx *sql.Tx) error {
							_, err := tx.ExecContext(ctx, `UPDATE floor SET n = n + 1 WHERE id = $1`, w)
							return err
						}))
					}
					return 2 * b.N
				})
				b.ReportMetric(float64(floor)/took.Seconds(), "floor-tx/s")
			})
		}
	}
}

// openBench opens a store on a new cluster.
func openBench(b *testing.B, o pgtest.Options) *Store {
	c := pgtest.Start(b, o)
	return openPG(b, c.Database(b), PostgresOptions{Writers: 16})
}

// each runs f once for each worker at the same time, and returns the sum of what they did and how long it took.
func each(b *testing.B, workers int, f func(w int) int) (int, time.Duration) {
	var sum atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for w := range workers {
		wg.Go(func() { sum.Add(int64(f(w))) })
	}
	wg.Wait()
	return int(sum.Load()), time.Since(began)
}

// started plans a job of so many chunks of 8 records, and starts it.
func started(b *testing.B, s *Store, chunks int) string {
	id := validating(b, s, 1)
	all := func(yield func(batholith.Chunk) bool) {
		for i := range chunks {
			if !yield(batholith.Chunk{N: i, First: int64(i) * 8, Count: 8, Bytes: 1000, IndexBytes: 100}) {
				return
			}
		}
	}
	must(s.PlanFrom(b.Context(), id, []batholith.File{{Key: "k"}}, all, int64(chunks)*8))
	must(errors.Join(s.Move(b.Context(), id, batholith.StatusValidating, batholith.StatusScheduled, "", time.Now()),
		s.Move(b.Context(), id, batholith.StatusScheduled, batholith.StatusInProgress, "", time.Now())))
	return id
}

// quarter is a commit of the first or the second four records of a chunk.
func quarter(worker string, c batholith.Chunk, half int) batholith.Commit {
	done := batholith.NewBits(8)
	for i := range 4 {
		done.Set(4*half + i)
	}
	return batholith.Commit{
		Segment: batholith.Segment{Job: c.Job, Key: fmt.Sprintf("out/segments/%08d-%d.seg", c.N, half), Bytes: 4000, Records: 4, Lines: 3900, Sum: 1},
		Worker:  worker, Parts: []batholith.CommitPart{{Chunk: c.N, Epoch: c.Epoch, Done: done}},
		Counts: batholith.Counts{Processed: 4, Succeeded: 4}, Tokens: batholith.Tokens{Input: 400, Output: 400}, Ledger: batholith.Ledger{Attempts: 4},
	}
}
