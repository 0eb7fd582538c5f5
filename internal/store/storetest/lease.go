package storetest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

func leasing() []law {
	return []law{
		{"ChunksAreClaimedInOrderUnderANewEpoch", claimsInOrder},
		{"OnlyAJobThatWaitsForItsTurnOrIsInProgressIsClaimed", claimsInProgress},
		{"WorkersClaimDifferentChunks", claimsDisjoint},
		{"ALivingLeaseIsNotTakenOver", leaseHolds},
		{"ALostLeaseIsTakenOverUnderAHigherEpoch", leaseLost},
		{"AWorkerWithoutALeaseLosesItsChunks", noLease},
		{"AWorkerThatComesBackAfterHoursHasItsLease", leaseIdle},
		{"ALeaseMayBeShortened", leaseShortened},
		{"AReleasedChunkIsPending", released},
		{"ASealedJobIsNotClaimed", sealedClaim},
	}
}

// claim claims chunks. The time that it tells the store is wrong by years: it must not matter.
func claim(t *testing.T, p Port, worker, id string, n int) []batholith.Chunk {
	t.Helper()
	chunks, err := p.Claim(t.Context(), worker, id, n, start())
	no(t, err)
	return chunks
}

// alive gives the worker a lease of a minute.
func alive(t *testing.T, p Port, workers ...string) {
	t.Helper()
	for _, w := range workers {
		no(t, p.Heartbeat(t.Context(), w, time.Now().Add(time.Minute)))
	}
}

func claimsInOrder(t *testing.T, p Port) {
	id := running(t, p, 1, 5)
	got := claim(t, p, "w1", id, 2)
	_, want := plan(id, 2)
	for i := range want {
		want[i].State, want[i].Owner, want[i].Epoch = batholith.ChunkLeased, "w1", 1
	}
	same(t, got, want)
	stored, err := p.Chunks(t.Context(), id)
	no(t, err)
	same(t, stored[:2], want)
	same(t, ns(claim(t, p, "w1", id, 2)), []int{2, 3}) // its own are not handed out again
	same(t, ns(claim(t, p, "w1", id, 0)), []int{})
	same(t, ns(claim(t, p, "w1", id, -1)), []int{})
	same(t, ns(claim(t, p, "w1", id, 2)), []int{4})
	same(t, ns(claim(t, p, "w1", id, 2)), []int{})
}

func ns(chunks []batholith.Chunk) []int {
	out := []int{}
	for _, c := range chunks {
		out = append(out, c.N)
	}
	return out
}

func claimsInProgress(t *testing.T, p Port) {
	id := planned(t, p, 1, 3)
	if got := claim(t, p, "w1", id, 1); len(got) != 0 {
		t.Errorf("%d chunks of a job that is Validating", len(got))
	}
	from := batholith.StatusValidating
	for _, to := range []batholith.Status{batholith.StatusScheduled, batholith.StatusInProgress, batholith.StatusStopping, batholith.StatusStopped} {
		no(t, p.Move(t.Context(), id, from, to, "", start()))
		want := 0
		if to == batholith.StatusScheduled || to == batholith.StatusInProgress {
			want = 1
		}
		if got := claim(t, p, "w1", id, 1); len(got) != want {
			t.Errorf("%d chunks of a job that is %s", len(got), to)
		}
		from = to
	}
	_, err := p.Claim(t.Context(), "w1", "nosuchjob000", 1, start())
	refused(t, err, batholith.ErrNotFound)
}

func claimsDisjoint(t *testing.T, p Port) {
	const chunks, workers = 40, 4
	id := running(t, p, 1, chunks)
	names := []string{"w1", "w2", "w3", "w4"}
	alive(t, p, names...)
	claimed := make([][]int, workers)
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			for {
				got, err := p.Claim(t.Context(), name, id, 3, start())
				if err != nil {
					t.Error(err)
				}
				if len(got) == 0 {
					return
				}
				if mine := ns(got); !slices.IsSorted(mine) {
					t.Errorf("%s claimed %v", name, mine)
				}
				claimed[i] = append(claimed[i], ns(got)...)
			}
		})
	}
	wg.Wait()
	together := slices.Concat(claimed...)
	slices.Sort(together)
	_, want := plan(id, chunks)
	same(t, together, ns(want))
}

func leaseHolds(t *testing.T, p Port) {
	id := running(t, p, 1, 2)
	alive(t, p, "w1")
	claim(t, p, "w1", id, 1)
	for range 3 { // renewed just before its end, it lasts for another minute
		time.Sleep(time.Minute - time.Millisecond)
		for _, ahead := range []time.Duration{-time.Hour, 0, 6 * time.Second, 24 * time.Hour} {
			got, err := p.Claim(t.Context(), "w2", id, 2, time.Now().Add(ahead))
			no(t, err)
			if len(got) > 1 || len(got) == 1 && got[0].N == 0 {
				t.Fatalf("with a clock that is %v ahead, w2 took the chunk of w1", ahead)
			}
		}
		alive(t, p, "w1")
	}
}

func leaseLost(t *testing.T, p Port) {
	id := running(t, p, 1, 2)
	alive(t, p, "w1")
	old := claim(t, p, "w1", id, 2)
	_, err := p.Commit(t.Context(), commitOf("w1", "s1", old[0], 3, 4))
	no(t, err)
	time.Sleep(time.Minute)
	alive(t, p, "w2")
	got := claim(t, p, "w2", id, 1)
	same(t, ns(got), []int{0})
	same(t, got[0].Epoch, int64(2))
	same(t, got[0].Done, bits(3, 4)) // what was finished is not done again

	_, err = p.Commit(t.Context(), commitOf("w1", "s2", old[0], 5))
	stale(t, err, 0)
	_, err = p.Commit(t.Context(), commitOf("w1", "s3", old[1], 5)) // nobody took that one
	no(t, err)
	_, err = p.Commit(t.Context(), commitOf("w2", "s4", got[0], 5))
	no(t, err)
}

func noLease(t *testing.T, p Port) {
	id := running(t, p, 1, 2)
	claim(t, p, "w1", id, 1) // it never said that it is alive
	alive(t, p, "w2", "w4")
	same(t, ns(claim(t, p, "w2", id, 2)), []int{0, 1})
	for _, late := range []time.Duration{0, time.Second, time.Hour} { // gives its lease up
		alive(t, p, "w2")
		no(t, p.Heartbeat(t.Context(), "w2", time.Now().Add(-late)))
		same(t, ns(claim(t, p, "w3", id, 2)), []int{0, 1})
		no(t, p.Release(t.Context(), "w3", id))
		same(t, ns(claim(t, p, "w2", id, 2)), []int{0, 1})
	}
}

// leaseIdle lets a worker come back whose row was deleted meanwhile, since it had been silent for hours.
func leaseIdle(t *testing.T, p Port) {
	id := running(t, p, 1, 3)
	alive(t, p, "w1")
	claim(t, p, "w1", id, 1)
	for range 5 {
		time.Sleep(time.Hour)
		alive(t, p, "w2")
	}
	alive(t, p, "w1")
	same(t, ns(claim(t, p, "w2", id, 3)), []int{1, 2})
	time.Sleep(time.Minute)
	same(t, ns(claim(t, p, "w2", id, 3)), []int{0})
}

// leaseShortened renews a lease for a shorter time than before: the shorter one counts.
func leaseShortened(t *testing.T, p Port) {
	id := running(t, p, 1, 1)
	alive(t, p, "w1")
	claim(t, p, "w1", id, 1)
	no(t, p.Heartbeat(t.Context(), "w1", time.Now().Add(time.Second+time.Nanosecond)))
	time.Sleep(time.Second)
	same(t, ns(claim(t, p, "w2", id, 1)), []int{}) // no millisecond too early
	time.Sleep(time.Millisecond)
	same(t, ns(claim(t, p, "w2", id, 1)), []int{0})
}

func released(t *testing.T, p Port) {
	a, b := running(t, p, 1, 2), running(t, p, 2, 2)
	alive(t, p, "w1", "w2")
	old := claim(t, p, "w1", a, 2)
	claim(t, p, "w1", b, 2)
	no(t, p.Release(t.Context(), "w1", a))
	_, err := p.Commit(t.Context(), commitOf("w1", "s1", old[0], 1))
	stale(t, err, 0)
	same(t, ns(claim(t, p, "w2", a, 9)), []int{0, 1})
	same(t, ns(claim(t, p, "w2", b, 9)), []int{})
	no(t, p.Release(t.Context(), "w1", ""))
	again := claim(t, p, "w2", b, 9)
	same(t, ns(again), []int{0, 1})
	same(t, again[0].Epoch, int64(2))
	no(t, p.Release(t.Context(), "nobody", ""))
}

func sealedClaim(t *testing.T, p Port) {
	id := running(t, p, 1, 2)
	seal(t, p, id, "")
	same(t, ns(claim(t, p, "w1", id, 2)), []int{})
	seal(t, p, id, "")
	_, err := p.SealToPublish(t.Context(), "nosuchjob000", "", "w1")
	refused(t, err, batholith.ErrNotFound)
}
