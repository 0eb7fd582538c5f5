package limit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/batholith/batholith/internal/limit/limittest"
)

// Law: a server is kept full whatever it says of itself, and not overfilled. The figures are the measured ones, in the mean of three jobs,
// rounded to what a change of the limiter may cost.
func TestServersAreKeptFullAndNotOverfilled(t *testing.T) {
	type change = func(*limittest.Params)
	gauges := func(k limittest.GaugeKind) change { return func(p *limittest.Params) { p.Gauges = k } }
	for _, c := range []struct {
		name   string
		change change
		least  float64 // share of the oracle's throughput
		most   float64 // in flight in the mean, as a multiple of all slots, without the 32 that a search begins with
	}{
		{"nothing", gauges(limittest.NoGauges), 0.95, 1.35},
		{"gauges", gauges(limittest.RightGauges), 0.985, 1.25},
		{"published", func(p *limittest.Params) { p.Published = true }, 0.99, 1.27},
		{"published by one of three", func(p *limittest.Params) {
			p.Replicas, p.Slots, p.Published, p.Length = 3, p.Slots/3, true, 4*time.Minute
		}, 0.9, 1.4},
		{"published, gauges", func(p *limittest.Params) { p.Published, p.Gauges = true, limittest.RightGauges }, 0.99, 1.2},
		{"stale gauges", func(p *limittest.Params) { p.Gauges, p.GaugeEvery = limittest.StaleGauges, 3*time.Second }, 0.97, 3},
		{"capped gauges", func(p *limittest.Params) { p.Gauges, p.GaugeCap = limittest.CappedGauges, p.Slots/2+1 }, 0.93, 1.4},
		{"another engine's", func(p *limittest.Params) { p.Gauges, p.Foreign = limittest.ForeignGauges, [2]int{20, 40} }, 0.93, 1.45},
		{"one of two replicas", func(p *limittest.Params) { p.Replicas, p.Slots, p.Gauges = 2, p.Slots/2, limittest.OneReplica }, 0.96, 1.4},
		{"others", func(p *limittest.Params) { p.Gauges, p.Others = limittest.RightGauges, p.Capacity()/4 }, 0.97, 1.1},
		{"more slots", func(p *limittest.Params) {
			p.Gauges, p.Later, p.Change = limittest.RightGauges, 3*p.Slots, 40*time.Second
		}, 0.94, 2.6},
		{"fewer slots", func(p *limittest.Params) {
			p.Gauges, p.Later, p.Change = limittest.RightGauges, p.Slots/3, 40*time.Second
		}, 0.98, 0.85},
		{"more slots, unseen", func(p *limittest.Params) { p.Later, p.Change = 3*p.Slots, 40*time.Second }, 0.88, 3.1},
		{"fewer slots, unseen", func(p *limittest.Params) { p.Later, p.Change = p.Slots/3, 40*time.Second }, 0.91, 1.8},
		{"a quota", func(p *limittest.Params) { p.Requests = int(40 * p.Capacity()) }, 0.95, 1.4},
		{"a quota that tells", func(p *limittest.Params) { p.Requests, p.Tells = int(40*p.Capacity()), true }, 0.95, 1.4},
		{"one of four is sick", func(p *limittest.Params) { p.Replicas, p.Slots, p.Sick = 4, p.Slots/4, limittest.Refuses }, 0.9, 2.4},
		{"one of four fails", func(p *limittest.Params) { p.Replicas, p.Slots, p.Sick = 4, p.Slots/4, limittest.Fails }, 0.9, 1.4},
	} {
		for _, slots := range sizes(16, 96, 360) {
			share, inFlight := 0., 0.
			for seed := range uint64(3) {
				p := plain(slots)
				p.Seed += seed
				c.change(&p)
				o := compare(p)
				share += o.Share / 3
				inFlight += o.Ours.InFlight / float64(slots) / 3
			}
			say := t.Logf
			if share < c.least || inFlight > c.most+20/float64(slots) {
				say = t.Errorf
			}
			say("%s, %d slots: %.3f of the oracle's throughput, %.3f in flight for each slot", c.name, slots, share, inFlight)
		}
	}
}

// A job of 21 s on 256 slots, from cold: the ramp is a large part of it.
func TestAShortJobFillsAServerWithGaugesFromCold(t *testing.T) {
	for slots, least := range map[int]float64{16: 0.98, 64: 0.99, 256: 0.985, 1000: 0.96} {
		t.Run(fmt.Sprint(slots), func(t *testing.T) {
			p := plain(slots)
			p.Gauges, p.Length = limittest.RightGauges, 21*time.Second
			r := run(p)
			if r.Busy < least || r.Most > max(2*slots, 64) {
				t.Errorf("busy %.4f, want %.3f; at most %d in flight; the limits were %v", r.Busy, least, r.Most, r.Limits)
			}
			for _, l := range r.Limits {
				if l.At > 2500*time.Millisecond && l.Limit > slots+slots/4+2 {
					t.Errorf("the limit is %d after %s", l.Limit, l.At)
				}
			}
		})
	}
}
