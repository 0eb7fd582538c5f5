package limit_test

import (
	"flag"
	"testing"
	"time"

	"github.com/batholith/batholith/internal/limit"
	"github.com/batholith/batholith/internal/limit/limittest"
	"github.com/batholith/batholith/internal/raced"
)

var (
	seeds = flag.Int("seeds", 100, "how many random servers to try")
	first = flag.Uint64("seed", 1, "the seed of the first of them")
	trace = flag.Bool("limits", false, "print the limits of the ten worst")
)

// Law: whatever a server is like, throughput is near to that of an oracle which knows the server's parameters. The worst servers are those of
// which one replica is ten times as slow behind a balancer that does not notice it.
func TestRandomServersAreUsedNearlyAsByAnOracle(t *testing.T) {
	n := *seeds
	if raced.On && n == 100 {
		n = 8
	}
	all := limittest.Judge(*first, n, func(now func() time.Time) limittest.Limiter { return limit.NewAt(0, now) })
	for _, o := range all[:min(len(all), 10)] {
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
	if worst := all[0].Share; *first == 1 && *seeds <= 100 && worst < 0.7 {
		t.Errorf("throughput is %.3f of the oracle's for the worst server, want 0.7", worst)
	}
}
