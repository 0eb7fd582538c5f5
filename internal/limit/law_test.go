package limit_test

import (
	"slices"
	"testing"
	"time"

	"github.com/batholith/batholith/internal/limit"
	"github.com/batholith/batholith/internal/limit/limittest"
	"github.com/batholith/batholith/internal/raced"
)

// plain is a server without faults and gauges: 0.02 s a step when empty, 0.04 s when full, answers of 20 to 120 tokens.
func plain(slots int) limittest.Params {
	return limittest.Params{Seed: 7, Length: 2 * time.Minute, Replicas: 1, Slots: slots, Step: 20 * time.Millisecond, Curve: [5]float64{1, 1.2, 1.4, 1.6, 1.8},
		Prompt: [2]int{50, 150}, Prefill: 5 * time.Microsecond, Budget: 8192, Output: [2]int{20, 120}, Transit: 4 * time.Millisecond}
}

// sizes are numbers of slots that a law is tried with. The simulation has one goroutine; the race detector gets the small ones.
func sizes(slots ...int) []int {
	if raced.On {
		return slices.DeleteFunc(slots, func(n int) bool { return n > 20 })
	}
	return slots
}

func search(now func() time.Time) limittest.Limiter { return limit.NewAt(0, now) }

func run(p limittest.Params) limittest.Result { return limittest.Run(p, search) }

func compare(p limittest.Params) limittest.Outcome { return limittest.Compare(p, search) }

func TestBoundedServersAreKeptFullAndNotHammered(t *testing.T) {
	for _, slots := range sizes(1, 8, 64, 256, 1000) {
		for name, change := range map[string]func(*limittest.Params){
			"eighth waits":  func(p *limittest.Params) { p.MaxWaiting = slots/8 + 1 },
			"quarter waits": func(p *limittest.Params) { p.MaxWaiting = slots/4 + 1 },
			"held":          func(p *limittest.Params) { p.MaxHeld = slots },
			"held more":     func(p *limittest.Params) { p.MaxHeld = slots + slots/8 + 1 },
			"tokens":        func(p *limittest.Params) { p.MaxTokens = 100*slots/4 + 300 },
			"late":          func(p *limittest.Params) { p.MaxWaiting, p.Late = slots/8+1, 6*time.Second },
			"impatient":     func(p *limittest.Params) { p.Patience = 5 * time.Second },
		} {
			var share, refused, inFlight float64 // means of the jobs
			late := false
			seeds := 3 // a large server is much the same with each
			if slots >= 1000 {
				seeds = 1
			}
			for seed := range uint64(seeds) {
				p := plain(slots)
				p.Seed += seed
				change(&p)
				o := compare(p)
				late = p.Late > 0 || p.Patience > 0 // a request that is refused late is in flight until then
				share += o.Share / float64(seeds)
				refused += float64(o.Ours.Refused) / float64(o.Ours.Answered+o.Ours.Refused) / float64(seeds)
				inFlight += o.Ours.InFlight / float64(seeds)
			}
			say := t.Logf
			if share < 0.93 || slots > 8 && !late && refused > 0.15 {
				say = t.Errorf
			}
			say("%d slots, %s: %.3f of the oracle's throughput, %.3f refused, in flight %.1f", slots, name, share, refused, inFlight)
		}
	}
}

// Refusals at random are nobody's queue: they cost their own share and no more, whatever the status, and whether they ask for a time or not.
func TestRandomRefusalsCostTheirOwnShare(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*limittest.Params)
	}{
		{"64 slots", func(p *limittest.Params) {}},
		{"8 slots", func(p *limittest.Params) { p.Slots = 8 }},
		{"1 slot", func(p *limittest.Params) { p.Slots = 1 }},
		{"500 slots", func(p *limittest.Params) { p.Slots = 500 }},
		{"a time is asked for", func(p *limittest.Params) { p.RetryAfter = 5 * time.Second }},
		{"5 ms", func(p *limittest.Params) {
			p.Slots, p.Step, p.Output, p.Transit = 32, 5*time.Millisecond, [2]int{1, 1}, time.Millisecond
		}},
		{"gauges", func(p *limittest.Params) { p.Gauges = limittest.RightGauges }},
		{"a bounded queue", func(p *limittest.Params) { p.MaxWaiting = 16 }},
		{"errors as well", func(p *limittest.Params) { p.Errors = 0.1 }},
	} {
		p := plain(64)
		if c.change(&p); len(sizes(p.Slots)) == 0 {
			continue
		}
		calm := p
		for _, share := range []float64{0.01, 0.03, 0.06, 0.12, 0.2} {
			p.Refusals = share
			r := run(p)
			got := limittest.Oracle(calm, r).Took.Seconds() / r.Took.Seconds()
			say := t.Logf
			if got < 0.9*(1-share) {
				say = t.Errorf
			}
			say("%s, %.2f refused: %.3f of the throughput without refusals, %d answered, %d refused", c.name, share, got, r.Answered, r.Refused)
		}
	}
}

// A configured limit is not searched, and refusals cost it no more.
func TestRandomRefusalsCostAConfiguredLimitTheirOwnShare(t *testing.T) {
	for _, slots := range []int{1, 4, 16} {
		p := plain(slots)
		p.Step, p.Output, p.Transit = 5*time.Millisecond, [2]int{1, 1}, time.Millisecond
		rate := func() float64 {
			r := limittest.Run(p, func(now func() time.Time) limittest.Limiter { return limit.NewAt(slots, now) })
			return r.Work / r.Took.Seconds()
		}
		best := rate()
		for _, share := range []float64{0.03, 0.06, 0.12, 0.2} {
			p.Refusals = share
			if got := rate() / best; got < 0.9*(1-share) {
				t.Errorf("%d slots, %.2f refused: %.3f of the throughput", slots, share, got)
			}
		}
	}
}
