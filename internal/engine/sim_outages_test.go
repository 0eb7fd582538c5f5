package engine

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/raced"
	"github.com/batholith/batholith/internal/simlm"
)

// An outage is waited for: no record is lost, few are asked again, and what is away is not asked more often than it can bear.
func TestAnOutageIsWaitedFor(t *testing.T) {
	raced.Skip(t)
	const (
		stay fate = iota
		killed
		stopped
	)
	for i, c := range []struct {
		name   string
		what   part
		long   time.Duration
		fate   fate
		losses int           // leases that are lost, and requests that are called off: what was in flight is asked again
		every  time.Duration // calls to what is away are no more frequent, all in all
	}{
		{"bucket for minutes", bucket, 10 * time.Minute, stay, 0, 500 * time.Millisecond},
		{"bucket for minutes, over a kill", bucket, 10 * time.Minute, killed, 1, 500 * time.Millisecond},
		{"bucket for minutes, over a stop", bucket, 10 * time.Minute, stopped, 0, 500 * time.Millisecond},
		{"database for seconds", database, 3 * time.Second, stay, 0, 20 * time.Millisecond},
		{"database for minutes", database, 10 * time.Minute, stay, 1, 250 * time.Millisecond},
		{"database for minutes, over a kill", database, 10 * time.Minute, killed, 2, 250 * time.Millisecond},
		{"database for minutes, over a stop", database, 10 * time.Minute, stopped, 1, 250 * time.Millisecond},
		{"model for an hour", model, time.Hour, stay, 1, 5 * time.Second},
		{"model for an hour, over a kill", model, time.Hour, killed, 1, 5 * time.Second},
		{"model for an hour, over a stop", model, time.Hour, stopped, 0, 5 * time.Second},
	} {
		if raced.On && i%4 > 0 && os.Getenv("BATHOLITH_SEEDS") == "" { // one of each kind of outage, and of each fate
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			simulate(t, 1, simSetup{calm: true, failures: &simlm.Failures{}}, func(s *simulation) {
				j := s.create("m0", 24*time.Hour, 1200, 300)
				w := s.worker("w")
				w.start()
				time.Sleep(time.Second + s.some(15*time.Second))
				s.away(c.what, c.long)
				if c.fate != stay {
					time.Sleep(5 * time.Second)
					if c.fate == killed {
						w.kill()
					} else {
						w.stop()
					}
					w.start()
				}
				time.Sleep(c.long + longEnough)
				synctest.Wait()
				s.check(j, batholith.StatusCompleted)
				w.stop()
				s.interruptions = c.losses // a stop costs nothing here: every request ends in the drain time
				s.checkTraces(w)
				if most := int(c.long/c.every) + 100; s.refused[c.what] > most {
					t.Errorf("%d calls to what was away, want at most %d", s.refused[c.what], most)
				}
				t.Logf("%d calls in vain, %d requests repeated", s.refused[c.what], len(s.repeats()))
			})
		})
	}
}

// fate is what becomes of a process during an outage.
type fate int
