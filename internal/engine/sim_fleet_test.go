package engine

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/raced"
	"github.com/batholith/batholith/internal/simlm"
)

// batching is a model server with 32 slots, and answers of about a second.
func batching(engine simlm.Engine) simSetup {
	return simSetup{calm: true, inFlight: -1, failures: &simlm.Failures{}, server: &simlm.Options{Engine: engine, Slots: 32,
		Step: 20 * time.Millisecond, Decode: 100 * time.Microsecond, OutputTokens: 20, OutputTokensMax: 60, Series: 250 * time.Millisecond}}
}

// atServer is the mean number of requests at a model server in a span of time since its start, the most, and the share of the slots that were busy.
func (s *simulation) atServer(model string, from, to time.Duration) (mean float64, most int, busy float64) {
	series := s.models[model].Stats().Series
	i, end := int(from.Seconds()/series.Interval), min(int(to.Seconds()/series.Interval), len(series.Running))
	n := float64(end - i)
	for ; i < end; i++ {
		here := series.Running[i] + series.Waiting[i]
		mean, most, busy = mean+float64(here)/n, max(most, here), busy+float64(series.Running[i])/float64(series.Slots[i])/n
	}
	return mean, most, busy
}

// lastEnd is when the last job ended, since the given time.
func (s *simulation) lastEnd(since time.Time) (last time.Duration) {
	for _, j := range s.jobs {
		job, err := s.db.Find(s.t.Context(), j.id)
		if err != nil {
			s.t.Fatal(err)
		}
		last = max(last, job.Ended.Sub(since))
	}
	return last
}

// The whole of the limit's division, with the database and real leases: workers join, one is stopped and one is killed, and the server has all
// the time about what one worker would send it.
func TestWorkersShareTheLimitOfTheirModelServer(t *testing.T) {
	raced.Skip(t)
	for _, engine := range []simlm.Engine{simlm.EngineVLLM, simlm.EngineLlamaCPP} {
		t.Run(string(engine), func(t *testing.T) {
			simulate(t, 1, batching(engine), func(s *simulation) {
				s.shared = true
				for range 3 {
					s.create("m0", 24*time.Hour, 1000)
				}
				began := time.Now()
				var all []*worker
				for i := range 3 {
					w := s.worker(fmt.Sprint("w", i))
					all = append(all, w)
					w.start()
					time.Sleep(5 * time.Second)
				}
				time.Sleep(15 * time.Second)
				all[0].stop()
				time.Sleep(10 * time.Second)
				all[1].kill()
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				for _, j := range s.jobs {
					s.check(j, batholith.StatusCompleted)
				}
				mean, most, busy := s.atServer("m0", 10*time.Second, 40*time.Second)
				if mean > 1.25*40 || most > 72 || busy < 0.9 {
					s.t.Errorf("%.1f requests at a server with 32 slots, at most %d; %.3f of the slots were busy", mean, most, busy)
				}
				if took := s.lastEnd(began); took > 120*time.Second { // 3,000 answers of 0.95 s in 32 slots, and 6 s in which a killed worker's part is idle
					s.t.Errorf("it took %s", took)
				}
				all[2].stop()
			})
		})
	}
}
