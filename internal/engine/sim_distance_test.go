package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/simlm"
)

// A job of a hundred small files waits for a bucket that is 50 ms away as often as validation, feeding, publication and clean-up have batches
// of files, and not once for each file and step: they have calls of many files on their way at once, so many and no more.
func TestAJobOfManyFilesDoesNotWaitForTheBucketOnceForEachFile(t *testing.T) {
	const trip, files, each = 50 * time.Millisecond, 100, 20
	took := map[time.Duration]time.Duration{}
	for _, far := range []time.Duration{0, trip} {
		simulate(t, 1, simSetup{calm: true, latency: 10 * time.Millisecond, inFlight: 64, failures: &simlm.Failures{}}, func(s *simulation) {
			s.distance = far
			w := s.worker("w")
			w.start()
			time.Sleep(10 * time.Second) // it knows its models
			sizes := make([]int, files)
			for i := range sizes {
				sizes[i] = each
			}
			j := s.create("m0", 24*time.Hour, sizes...)
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			job, err := s.db.Job(s.t.Context(), simAccount, j.id)
			if err != nil {
				s.t.Fatal(err)
			}
			if job.Status != batholith.StatusCompleted || job.Counts.Succeeded != files*each {
				s.t.Errorf("the job is %s with %+v", job.Status, job.Counts)
			}
			took[far] = job.Ended.Sub(job.Submitted)
			w.stop()
			if s.mostAbreast > mostAbreast {
				s.t.Errorf("%d calls of the bucket at once", s.mostAbreast)
			}
		})
	}
	if rounds := (took[trip] - took[0]) / trip; rounds > mostRounds {
		t.Errorf("it took %v with the bucket here and %v with the bucket away: %d rounds of calls", took[0], took[trip], rounds)
	}
}

// Of a hundred files: 2 × 4 rounds of validation, 4 of publication, 5 of feeding, and about 8 for what comes once for a job.
const (
	mostRounds  = 25
	mostAbreast = 2 * 32 // a chunk's bytes and its index
)
