package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/batholith/batholith"
)

// Sharing lets the workers of a backend know of one another.
type Sharing interface {
	PutLoads(ctx context.Context, worker string, loads []batholith.Load) error
	Loads(ctx context.Context, worker string, backends []string) (others []batholith.Load, workers int, err error)
}

func sharing() []law {
	return []law{
		{"AWorkerSeesTheLoadsOfTheOthers", loadsSeen},
		{"TheLoadOfAWorkerCountsWhileItsLeaseLasts", loadsLeased},
	}
}

func loadsSeen(t *testing.T, p Port) {
	alive(t, p, "w1", "w2", "w3")
	a := batholith.Load{Worker: "w1", Backend: "gpu:8000", Model: "m", Share: 0.25, InFlight: 16, Wants: 900, Calls: 3, Limit: 70, Bound: 80,
		Purses: []batholith.Purse{{Group: "0a1b", Weight: 16, Wants: 700}, {Weight: 1, Wants: 100}}, Source: "gauges", Found: true, Lead: true, Idle: 33.5, Goodput: 7100.5}
	b := batholith.Load{Worker: "w1", Backend: "gpu:9000", Model: "m", Share: 1, Limit: 9, Source: "slots"}
	c := batholith.Load{Worker: "w2", Backend: "gpu:8000", Model: "other", Share: 0.75, Limit: 70, Source: "goodput"}
	no(t, p.PutLoads(t.Context(), "w1", []batholith.Load{{Backend: "old:1", Model: "m"}}))
	no(t, p.PutLoads(t.Context(), "w1", []batholith.Load{a, b}))
	no(t, p.PutLoads(t.Context(), "w2", []batholith.Load{c}))
	for _, x := range []struct {
		worker   string
		backends []string
		want     []batholith.Load
	}{
		{"w3", []string{"gpu:8000", "gpu:9000", "old:1"}, []batholith.Load{a, b, c}},
		{"w3", []string{"gpu:8000"}, []batholith.Load{a, c}},
		{"w1", []string{"gpu:8000", "gpu:9000"}, []batholith.Load{c}},
		{"w2", []string{"gpu:8000"}, []batholith.Load{a}},
		{"w2", nil, nil},
	} {
		got, workers, err := p.Loads(t.Context(), x.worker, x.backends)
		no(t, err)
		same(t, got, x.want)
		same(t, workers, 2)
	}
	no(t, p.PutLoads(t.Context(), "w1", nil))
	got, _, err := p.Loads(t.Context(), "w3", []string{"gpu:8000"})
	no(t, err)
	same(t, got, []batholith.Load{c})
}

func loadsLeased(t *testing.T, p Port) {
	row := batholith.Load{Worker: "w1", Backend: "gpu:8000", Model: "m", Share: 1, Limit: 70, Source: "slots"}
	seen := func(want []batholith.Load, workers int) {
		t.Helper()
		got, n, err := p.Loads(t.Context(), "w2", []string{"gpu:8000"})
		no(t, err)
		same(t, got, want)
		same(t, n, workers)
	}
	no(t, p.PutLoads(t.Context(), "w1", []batholith.Load{row}))
	seen(nil, 0) // it has no lease yet
	alive(t, p, "w1")
	seen([]batholith.Load{row}, 1)
	time.Sleep(59 * time.Second)
	seen([]batholith.Load{row}, 1)
	alive(t, p, "w1")
	time.Sleep(59 * time.Second)
	seen([]batholith.Load{row}, 1)
	time.Sleep(2 * time.Minute)
	seen(nil, 0)
	alive(t, p, "w1") // and comes back with what it had
	seen([]batholith.Load{row}, 1)
}
