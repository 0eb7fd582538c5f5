package dispatch

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// The outcomes of one job cannot be committed: its chunks keep their owner and epoch, or the outcomes would be refused later. The other
// job's chunks go back.
func TestAShutdownReleasesOnlyTheChunksOfJobsWithoutUncommittedOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), answering(time.Second)
		s.limit = 24
		d := w.dispatcher(Options{Drain: 30 * time.Second}, s)
		d.Enqueue(w.job("stuck", 200, 10))
		d.Enqueue(w.job("well", 200, 10))
		stop := w.start(d)
		time.Sleep(500 * time.Millisecond) // the first requests are being answered
		if w.leased("stuck") == 0 || w.leased("well") == 0 {
			t.Errorf("%d and %d chunks are leased before the shutdown", w.leased("stuck"), w.leased("well"))
		}
		w.mu.Lock()
		w.uncommitted = map[string]error{"stuck": errors.New("the bucket is away")}
		w.reserved["stuck"], w.reserved["well"] = batholith.Amount{Tokens: 100}, batholith.Amount{Tokens: 100} // by an earlier process
		w.mu.Unlock()
		stop()
		if n := w.leased("stuck"); n == 0 {
			t.Error("chunks whose outcomes are in the journal only were released")
		}
		if n := w.leased("well"); n > 0 {
			t.Errorf("%d chunks of the other job are still leased", n)
		}
		if w.reserved["stuck"].Tokens != 100 || w.reserved["well"].Tokens != 0 {
			t.Errorf("reserved: %v; outcomes of the first job are not stored yet", w.reserved)
		}
		w.uncommitted = nil
		if err := d.HandBack(t.Context()); err != nil || w.leased("stuck") > 0 || len(w.reserved) > 0 {
			t.Errorf("%d chunks are leased after everything was committed, %v", w.leased("stuck"), err)
		}
	})
}

// leased counts the chunks of a job that a worker holds.
func (w *world) leased(job string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.chunks[job] {
		if c.State == batholith.ChunkLeased {
			n++
		}
	}
	return n
}
