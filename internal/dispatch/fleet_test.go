package dispatch

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batholith/batholith"
)

// commonServer is a server that other workers reach under the same name.
type commonServer struct{ *server }

func (commonServer) Shared() (server, model string) { return "http://gpu:8000/v1", "m" }

// table is a table of loads with the rows of other workers.
type table struct {
	mu     sync.Mutex
	others []batholith.Load
	mine   []batholith.Load
	away   bool
	writes int
}

var errAway = errors.New("the database does not answer")

func (b *table) PutLoads(_ context.Context, _ string, rows []batholith.Load) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return errAway
	}
	b.mine = rows
	b.writes++
	return nil
}

func (b *table) Loads(context.Context, string, []string) ([]batholith.Load, int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return nil, 0, errAway
	}
	return b.others, len(b.others), nil
}

// beside is a worker that has a share of the server and so many requests in flight for one principal.
func beside(share float64, flying int, owner string) batholith.Load {
	return batholith.Load{Worker: "z", Backend: "http://gpu:8000/v1", Model: "m", Share: share, InFlight: flying, Wants: 1000, Limit: 16,
		Purses: []batholith.Purse{{Group: groupOf("000000000000/" + owner), Weight: int(weights[normal]), Wants: 1000}}}
}

// Ann's records are all at this worker, and Bob's are at both: together each has half of the server, so Ann has two thirds of this worker's
// part and Bob one third.
func TestPrincipalsHaveEqualPartsWhicheverWorkerHasTheirRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), perToken(16, 10*time.Millisecond)
		d := w.dispatcher(Options{Loads: &table{others: []batholith.Load{beside(0.25, 4, "bob")}}}, commonServer{s})
		d.Enqueue(owned(w.jobOf("ann", 8000, 100, taking(100)), "ann"))
		d.Enqueue(owned(w.jobOf("bob", 8000, 100, taking(100)), "bob"))
		defer w.start(d)()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := d.InFlight(); n != 12 {
			t.Errorf("%d in flight of 16, beside a worker that has a quarter", n)
		}
		if ratio := float64(w.tokens("ann")) / float64(w.tokens("bob")); ratio < 1.7 || ratio > 2.3 {
			t.Errorf("the principal whose records are all here has %.2f times as much as the other", ratio)
		}
	})
}

// What is expected of a job's end counts what the other workers do: their rate, and the records that they have concluded.
func TestAForecastCountsTheOtherWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), perToken(16, 10*time.Millisecond)
		b := &table{others: []batholith.Load{beside(0.75, 12, "ann")}}
		d := w.dispatcher(Options{Loads: b}, commonServer{s})
		job := owned(w.jobOf("a", 8000, 100, taking(100)), "ann")
		d.Enqueue(job)
		defer w.start(d)()
		time.Sleep(time.Minute)
		synctest.Wait()
		left := func() float64 {
			t.Helper()
			f, ok := d.Forecast(job.ID)
			if !ok || f.End.IsZero() {
				t.Fatalf("no forecast: %+v", f)
			}
			return time.Until(f.End).Seconds()
		}
		// 4 requests here and 12 elsewhere, each a second.
		if got, want := left(), (8000-4*60)/16.; got < 0.9*want || got > 1.1*want {
			t.Errorf("it ends in %.0f s, want about %.0f", got, want)
		}
		d.Committed(job.ID, batholith.Counts{Total: 8000, Processed: 6000})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got, want := left(), 2000/16.; got < 0.85*want || got > 1.15*want {
			t.Errorf("after 6,000 records of all workers it ends in %.0f s, want about %.0f", got, want)
		}
	})
}

// While the database is away, a worker goes on with its share, and its part is its own when it comes back.
func TestSendingDoesNotWaitForTheTableOfLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), perToken(16, 10*time.Millisecond)
		b := &table{others: []batholith.Load{beside(0.5, 8, "ann")}}
		d := w.dispatcher(Options{Loads: b}, commonServer{s})
		d.Enqueue(owned(w.jobOf("a", 8000, 100, taking(100)), "ann"))
		stop := w.start(d)
		for i := range 3 {
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := d.InFlight(); n != 8 {
				t.Errorf("minute %d: %d in flight, want half of 16", i, n)
			}
			b.mu.Lock()
			if b.away = i == 0; b.writes > 60*(i+1)+5 {
				t.Errorf("%d writes in %d minutes", b.writes, i+1)
			}
			b.mu.Unlock()
		}
		stop()
		if len(b.mine) > 0 {
			t.Errorf("a worker that has stopped leaves %+v", b.mine)
		}
	})
}

// A process that only makes interactive calls has the slots that they need, ahead of the records of all workers.
func TestAWorkerLeavesTheSlotsThatCallsOfOtherProcessesNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t), perToken(16, 10*time.Millisecond)
		calls := beside(0, 0, "")
		calls.Wants, calls.Calls, calls.Purses = 4, 4, nil
		b := &table{others: []batholith.Load{calls}}
		d := w.dispatcher(Options{Loads: b}, commonServer{s})
		d.Enqueue(owned(w.jobOf("a", 8000, 100, taking(100)), "ann"))
		defer w.start(d)()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := d.InFlight(); n != 12 {
			t.Errorf("%d records in flight, and 4 of 16 slots are for calls", n)
		}
		b.mu.Lock()
		b.others = nil // no call for a while
		b.mu.Unlock()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := d.InFlight(); n != 16 {
			t.Errorf("%d records in flight when there are no calls any more", n)
		}
	})
}
