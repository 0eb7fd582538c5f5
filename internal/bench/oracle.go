package main

import (
	"fmt"
	"time"

	"github.com/batholith/batholith/internal/limit"
	"github.com/batholith/batholith/internal/limit/limittest"
)

// oracle compares the limits that Batholith finds with those of an oracle, on random servers in virtual time. It prints the ten worst with
// their seeds; go test ./internal/limit -seed N -seeds 1 -limits -v runs one of them.
func oracle(b *bench) error {
	n := b.size(500, 50)
	all := limittest.Judge(1, n, func(now func() time.Time) limittest.Limiter { return limit.NewAt(0, now) })
	mean, settled := limittest.Mean(all)
	for _, r := range []row{
		{what: fmt.Sprintf("%d random servers: throughput in the mean", n), ours: mean, goal: atLeast(0.97), stretch: atLeast(0.98)},
		{what: "the same, without the first 20 s", ours: settled},
		{what: "the same, the worst server", ours: all[0].Share, goal: atLeast(0.9), stretch: atLeast(0.95)},
	} {
		r.against, r.reference, r.digits = "an oracle", 1, 3
		b.table.add(r)
	}
	for _, o := range all[:min(10, n)] {
		fmt.Println("  ", o)
	}
	return nil
}
