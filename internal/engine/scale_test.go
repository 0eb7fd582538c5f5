package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/simlm"
)

// A long job costs one transaction for at most a hundred records, beside those that every job costs: docs/decisions/0037-scale.md computes
// with this number. Here the model answers 200 records a second, and a worker commits about once a second.
func TestAJobTakesATransactionForAHundredRecords(t *testing.T) {
	const records = 3000
	simulate(t, 1, simSetup{calm: true, failures: &simlm.Failures{}, inFlight: 64}, func(s *simulation) {
		w := s.worker("w")
		w.start()
		s.mu.Lock()
		s.calls = map[part]map[string]int{}
		s.mu.Unlock()
		j := s.create("m0", 24*time.Hour, records)
		time.Sleep(time.Minute)
		synctest.Wait()
		s.mu.Lock()
		calls := s.calls[database]
		s.calls = nil
		s.mu.Unlock()
		s.check(j, batholith.StatusCompleted)
		w.stop()
		writes := 0
		for method, n := range calls {
			if !reads[method] {
				writes += n
			}
		}
		t.Logf("%d records: %d transactions that write: %v", records, writes, calls)
		if most := 20 + records/100; writes > most {
			t.Errorf("%d transactions for %d records; want at most %d: %v", writes, records, most, calls)
		}
		if writes < records/512 {
			t.Errorf("%d transactions for %d records: they were not counted", writes, records)
		}
	})
}
