package engine

import (
	"maps"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/simlm"
)

// tally counts a call of the database or the bucket under the name of its method.
func (s *simulation) tally(to part) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == nil {
		return
	}
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for f, more := frames.Next(); more; f, more = frames.Next() {
		_, method, ok := strings.Cut(f.Function, ".flaky")
		_, method, _ = strings.Cut(method, ".")
		if !ok || method == "try" || method == "slow" || strings.Contains(method, "func") {
			continue
		}
		if s.calls[to] == nil {
			s.calls[to] = map[string]int{}
		}
		s.calls[to][method]++
		return
	}
}

// reads are the calls of the database that write nothing, and those that do not belong to one job.
var reads = map[string]bool{"Job": true, "Find": true, "Unfinished": true, "Unclean": true, "Unswept": true, "Swept": true, "Files": true, "ChunksOf": true,
	"Segments": true, "Uploads": true, "Ledger": true, "Decided": true, "Heartbeat": true, "Loads": true}

// A small job costs these transactions and these calls of the bucket and no others: a process that runs thousands of them a minute is
// bound by them. The first job of an output also tries it out.
func TestASmallJobKeepsToItsTransactionsAndCalls(t *testing.T) {
	simulate(t, 1, simSetup{calm: true, failures: &simlm.Failures{}}, func(s *simulation) {
		w := s.worker("w")
		w.start()
		first := s.create("m0", 24*time.Hour, 10)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		s.check(first, batholith.StatusCompleted)
		s.mu.Lock()
		s.calls = map[part]map[string]int{}
		s.mu.Unlock()
		j := s.create("m0", 24*time.Hour, 10)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		s.mu.Lock()
		calls := s.calls
		s.calls = nil
		s.mu.Unlock()
		s.check(j, batholith.StatusCompleted)
		w.stop()
		maps.DeleteFunc(calls[database], func(method string, _ int) bool { return reads[method] })
		// The second claim finds no more chunks, and the release none to be released: they write nothing.
		want := map[part]map[string]int{
			database: {"Move": 2, "Accept": 1, "Claim": 2, "Commit": 1, "Release": 1, "SealToPublish": 1, "Decide": 1, "End": 1},
			bucket: {"List": 2, "Read": 4, "Put": 4, // the index, the segment, the output, the manifest
				"ListUploads": 1, "Delete": 1},
		}
		if diff := cmp.Diff(want, calls); diff != "" {
			t.Errorf("a job of ten records (-want +got):\n%s", diff)
		}
	})
}
