package limittest

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Outcome is what a limiter made of one server.
type Outcome struct {
	Params     Params
	Ours, Best Result  // of the limiter, and of the oracle
	Share      float64 // of the oracle's throughput: its time for the same work / the limiter's
	Settled    float64 // the same without the first 20 s, the cold start
}

// Judge runs the servers of so many seeds, on all processors, and returns the outcomes with the worst first.
func Judge(first uint64, seeds int, make func(now func() time.Time) Limiter) []Outcome {
	all := slices.Repeat([]Outcome{{}}, seeds)
	next := 0
	var mu sync.Mutex
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1
	}
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := take(); i < seeds; i = take() {
				all[i] = Compare(Make(first+uint64(i)), make)
			}
		})
	}
	workers.Wait()
	slices.SortFunc(all, func(a, b Outcome) int { return cmp.Compare(a.Share, b.Share) })
	return all
}

// Compare runs one server.
func Compare(p Params, make func(now func() time.Time) Limiter) Outcome {
	o := Outcome{Params: p, Ours: Run(p, make)}
	o.Best = Oracle(p, o.Ours)
	o.Share = o.Best.Took.Seconds() / o.Ours.Took.Seconds()
	o.Settled = (o.Best.Took - o.Best.Cold).Seconds() / (o.Ours.Took - o.Ours.Cold).Seconds()
	return o
}

// Mean is the mean share, with the cold start and without. More than the oracle's throughput counts as as much.
func Mean(all []Outcome) (share, settled float64) {
	for _, o := range all {
		share += min(o.Share, 1) / float64(len(all))
		settled += min(o.Settled, 1) / float64(len(all))
	}
	return share, settled
}

func (o Outcome) String() string {
	return fmt.Sprintf("%.3f of the oracle's throughput (%.3f without the cold start), seed %d: %s; in flight %.1f (oracle %.1f), busy %.3f (%.3f), %d answered, %d (%d) refused, %d failed",
		o.Share, o.Settled, o.Params.Seed, o.Params, o.Ours.InFlight, o.Best.InFlight, o.Ours.Busy, o.Best.Busy, o.Ours.Answered, o.Ours.Refused, o.Best.Refused, o.Ours.Failed)
}
