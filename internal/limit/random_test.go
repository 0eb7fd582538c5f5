package limit_test

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/batholith/batholith/internal/limit"
	"github.com/batholith/batholith/internal/limit/limittest"
)

var (
	seeds = flag.Int("seeds", 100, "how many random servers to try")
	first = flag.Uint64("seed", 1, "the first of them")
	trace = flag.Bool("limits", false, "print the limits of each server")
)

// Law: whatever a server is like, throughput is near to that of an oracle which knows the server's parameters.
func TestRandomServersAreUsedNearlyAsByAnOracle(t *testing.T) {
	type outcome struct {
		p              limittest.Params
		ours, best     limittest.Result
		share, settled float64
	}
	var all []outcome
	var mean, settled float64
	var ta, tb time.Duration
	for seed := *first; seed < *first+uint64(*seeds); seed++ {
		p := limittest.Make(seed)
		a := time.Now()
		ours := limittest.Run(p, func(now func() time.Time) limittest.Limiter { return limit.NewAt(0, now) })
		b := time.Now()
		best := limittest.Oracle(p)
		ta += b.Sub(a)
		if d := b.Sub(a); d > time.Second {
			t.Logf("slow: %s seed %d, %d refused", d, seed, ours.Refused)
		}
		tb += time.Since(b)
		o := outcome{p, ours, best, ours.Work / best.Work, (ours.Work - ours.Cold) / (best.Work - best.Cold)}
		mean += min(o.share, 1) / float64(*seeds)
		settled += min(o.settled, 1) / float64(*seeds)
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b outcome) int {
		if a.share < b.share {
			return -1
		}
		return 1
	})
	n90, n97 := 0, 0
	for _, o := range all[max(0, len(all)-6):] {
		if o.share > 1.03 {
			t.Logf("over: %.3f seed %d %s", o.share, o.p.Seed, o.p)
		}
	}
	for _, o := range all {
		if o.share < 0.9 {
			n90++
		}
		if o.share < 0.97 {
			n97++
		}
	}
	for _, o := range all[:min(len(all), max(10, min(n90, 80)))] {
		t.Logf("%.3f (%.3f settled) seed %d: %s; in flight %.1f (%.1f), busy %.3f (%.3f), %d answered, %d (%d) refused, %d failed", o.share, o.settled, o.p.Seed, o.p,
			o.ours.InFlight, o.best.InFlight, o.ours.Busy, o.best.Busy, o.ours.Answered, o.ours.Refused, o.best.Refused, o.ours.Failed)
		if *trace {
			s := ""
			for _, l := range o.ours.Limits {
				s += fmt.Sprintf(" %.1f:%d", l.At.Seconds(), l.Limit)
			}
			t.Log(s)
		}
	}
	t.Logf("mean %.4f, settled %.4f, worst %.3f; %d below 0.90, %d below 0.97; %s and %s", mean, settled, all[0].share, n90, n97, ta, tb)
	if mean < 0.97 {
		t.Errorf("throughput is %.4f of the oracle's in the mean, want 0.97", mean)
	}
	if worst := all[0].share; *first == 1 && *seeds == 100 && worst < 0.7 {
		t.Errorf("throughput is %.3f of the oracle's for the worst server, want 0.7", worst)
	}
}
