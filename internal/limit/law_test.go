package limit_test

import (
	"testing"
	"time"

	"github.com/batholith/batholith/internal/limit"
	"github.com/batholith/batholith/internal/limit/limittest"
)

// plain is a server without faults and gauges: 0.02 s a step when empty, 0.04 s when full, answers of 20 to 120 tokens.
func plain(slots int) limittest.Params {
	return limittest.Params{Seed: 7, Length: 2 * time.Minute, Replicas: 1, Slots: slots, Step: 20 * time.Millisecond, Curve: [5]float64{1, 1.2, 1.4, 1.6, 1.8},
		Prompt: [2]int{50, 150}, Prefill: 5 * time.Microsecond, Budget: 8192, Output: [2]int{20, 120}, Transit: 4 * time.Millisecond}
}

func run(p limittest.Params) limittest.Result {
	return limittest.Run(p, func(now func() time.Time) limittest.Limiter { return limit.NewAt(0, now) })
}

func TestBoundedServersAreKeptFullAndNotHammered(t *testing.T) {
	for _, slots := range []int{1, 8, 64, 256, 1000} {
		for name, change := range map[string]func(*limittest.Params){
			"eighth waits":  func(p *limittest.Params) { p.MaxWaiting = slots/8 + 1 },
			"quarter waits": func(p *limittest.Params) { p.MaxWaiting = slots/4 + 1 },
			"held":          func(p *limittest.Params) { p.MaxHeld = slots },
			"held more":     func(p *limittest.Params) { p.MaxHeld = slots + slots/8 + 1 },
			"tokens":        func(p *limittest.Params) { p.MaxTokens = 100*slots/4 + 300 },
			"late":          func(p *limittest.Params) { p.MaxWaiting, p.Late = slots/8+1, 6*time.Second },
			"impatient":     func(p *limittest.Params) { p.Patience = 5 * time.Second },
		} {
			p := plain(slots)
			change(&p)
			r, o := run(p), limittest.Oracle(p)
			share, refused := r.Work/o.Work, float64(r.Refused)/float64(r.Answered+r.Refused)
			say := t.Logf
			least, most := 0.93, 0.15
			if p.Late > 0 { // a request that is refused late is in flight until then
				least, most = 0.75, 1
			}
			if p.Patience > 0 {
				most = 1
			}
			if share < least || slots > 8 && refused > most {
				say = t.Errorf
			}
			say("%d slots, %s: %.3f, refused %d of %d, in flight %.1f, oracle %.1f", slots, name, share, r.Refused, r.Answered, r.InFlight, o.InFlight)
		}
	}
}
