package results

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

// cpu is the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchLine is a line as a record of 900 bytes and a short answer make it.
var benchLine = []byte(`{"recordId":"rec_0000001","modelInput":{"messages":[{"role":"user","content":"` + strings.Repeat("word ", 170) +
	`"}]},"modelOutput":{"content":[{"type":"text","text":"` + strings.Repeat("word ", 40) + `"}]}}` + "\n")

const benchRecords = 50_000

// BenchmarkOutcomes takes outcomes through journal, segments and commits to a bucket and a database in memory, and stands beside
// a floor: the same bytes appended to a file and copied once. CPU is of the whole process, the copies of the fake bucket included.
func BenchmarkOutcomes(b *testing.B) {
	b.Run("writer", func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			world := newWorld()
			world.plan("job", 500, benchRecords)
			p := &process{world: world, killed: make(chan struct{}), verdict: func(string) verdict { return pass }}
			w, stop := start(b, p, b.TempDir(), "a", nil)
			chunks := world.lease("job", "a")
			b.StartTimer()
			from := cpu(b)
			for _, c := range chunks {
				for i := range c.Count {
					o := batholith.Outcome{Job: "job", Key: batholith.RecordKey{Record: c.First + int64(i)}, Chunk: c.N, First: c.First, Epoch: c.Epoch,
						Line: append([]byte(nil), benchLine...), Attempts: 1}
					if err := w.Add(b.Context(), o); err != nil {
						b.Fatal(err)
					}
				}
			}
			if err := w.Flush(b.Context(), "job"); err != nil {
				b.Fatal(err)
			}
			used := cpu(b) - from
			b.StopTimer()
			b.ReportMetric(used.Seconds()*1000/benchRecords, "cpu-s/1000")
			b.ReportMetric(float64(p.bucket.Calls("Put"))*1000/benchRecords, "puts/1000")
			stop()
			b.StartTimer()
		}
		b.SetBytes(int64(len(benchLine)) * benchRecords)
	})
	b.Run("floor", func(b *testing.B) {
		for range b.N {
			from := cpu(b)
			f, err := os.Create(filepath.Join(b.TempDir(), "f"))
			if err != nil {
				b.Fatal(err)
			}
			var kept []byte
			for range benchRecords {
				line := append([]byte(nil), benchLine...)
				if kept = append(kept, line...); len(kept) >= segmentBytes {
					if _, err := f.Write(kept); err != nil {
						b.Fatal(err)
					}
					kept = kept[:0]
				}
			}
			f.Close()
			b.ReportMetric((cpu(b)-from).Seconds()*1000/benchRecords, "cpu-s/1000")
		}
		b.SetBytes(int64(len(benchLine)) * benchRecords)
	})
}

// BenchmarkPublish merges segments whose records are interleaved, beside the floor of copying the output.
func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("segments=%d", n), func(b *testing.B) {
			world := newWorld()
			world.plan("job", benchRecords, benchRecords)
			chunk := world.lease("job", "a")[0]
			writer, err := NewWriter(Options{Dir: b.TempDir(), Worker: "a", Store: world, Open: world.open})
			if err != nil {
				b.Fatal(err)
			}
			for s := range n {
				var items []item
				for i := s; i < benchRecords; i += n {
					o := outcome(chunk, i, "a")
					o.Line = benchLine
					items = append(items, item{Outcome: o})
				}
				if err := writer.settle(b.Context(), "a", items); err != nil {
					b.Fatal(err)
				}
			}
			p := NewPublisher(PublisherOptions{SmallManifest: -1, Store: world, Open: world.open})
			b.SetBytes(int64(len(benchLine)) * benchRecords)
			from := cpu(b)
			for b.Loop() {
				if _, err := p.Publish(b.Context(), world.job("job", batholith.StatusCompleted), 1, true); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((cpu(b)-from).Seconds()*1000/benchRecords/float64(b.N), "cpu-s/1000")
		})
	}
	b.Run("floor", func(b *testing.B) {
		world := newWorld()
		b.SetBytes(int64(len(benchLine)) * benchRecords)
		for b.Loop() {
			r := strings.NewReader(strings.Repeat(string(benchLine), benchRecords))
			body, err := io.ReadAll(r)
			if err != nil {
				b.Fatal(err)
			}
			world.bucket.Put(b.Context(), "x", body)
		}
	})
}
