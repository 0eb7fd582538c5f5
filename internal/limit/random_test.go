package limit_test

import (
	"flag"
	"testing"

	"github.com/batholith/batholith/internal/limit/limittest"
	"github.com/batholith/batholith/internal/raced"
)

var (
	seeds = flag.Int("seeds", 100, "how many random servers to try")
	first = flag.Uint64("seed", 1, "the seed of the first of them")
	worst = flag.Int("worst", 10, "how many of the worst to print")
	trace = flag.Bool("limits", false, "print the limits of the worst")
)

// Law: whatever a server is like, throughput is near to that of an oracle which knows the server's parameters and does the same requests. The
// worst of the first hundred stay on a level of goodput that is not the highest, as their curve is flat there (92), take a sick replica's refusals
// for slots (81), or learn late that they were refused (54).
func TestRandomServersAreUsedNearlyAsByAnOracle(t *testing.T) {
	n := *seeds
	if raced.On && n == 100 {
		n = 8
	}
	all := limittest.Judge(*first, n, search)
	for _, o := range all[:min(len(all), *worst)] {
		t.Log(o)
		if *trace {
			t.Log(o.Ours.Limits)
		}
	}
	mean, settled := limittest.Mean(all)
	t.Logf("%.4f in the mean, %.4f without the cold start, %.3f for the worst", mean, settled, all[0].Share)
	if mean < 0.97 {
		t.Errorf("throughput is %.4f of the oracle's in the mean, want 0.97", mean)
	}
	if worst := all[0].Share; *first == 1 && *seeds <= 100 && worst < 0.8 {
		t.Errorf("throughput is %.3f of the oracle's for the worst server, want 0.8", worst)
	}
}
