package limittest

import (
	"math"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/limit"
)

// Oracle is the best result of a few limits that are computed from the parameters: a factor times the number of running requests that
// gives the highest rate, at every moment. It waits for a moment after a refusal, and needs no search.
func Oracle(p Params) (best Result) {
	most, later := p.ours(p.Slots), p.ours(max(p.Later, 1))
	rest := max(5*time.Millisecond, time.Duration(float64(most)/p.Rate(most)/10*1e9))
	for _, factor := range []float64{1, 1.1, 1.25, 1.6, 2.5, 5, 12} {
		limit := func(slots int) int { return max(int(math.Ceil(float64(p.Replicas*slots)*factor)), 1) }
		r := Run(p, func(now func() time.Time) Limiter {
			return &oracle{now: now, rest: rest, limit: func() int {
				if p.Later > 0 && now().Sub(epoch) >= p.Change {
					return limit(later)
				}
				return limit(most)
			}}
		})
		if float64(r.Refused) > p.refusals()*float64(r.Answered) && best.Work > 0 || p.Others > 0 && factor > 1.3 { // it does not hammer, and does not crowd others out
			break
		}
		if factor > 1.5 && r.Work < 1.01*best.Work {
			break
		}
		if r.Work > best.Work {
			best = r
		}
	}
	return best
}

// ours is how many of a replica's requests are ours, when it works at its best and others have what they ask for.
func (p *Params) ours(slots int) int {
	n := p.best(slots)
	return max(int(float64(n)*(1-min(p.Others/p.Rate(n), 0.9))), 1)
}

// refusals is how many refusals for an answer an oracle may have: what there are whatever it does, and one for four answers.
func (p *Params) refusals() float64 {
	n := p.Refusals / (1 - p.Refusals)
	if p.Sick == Refuses {
		n += (1 + n) / float64(p.Replicas-1)
	}
	return 0.25 + 1.2*n
}

type oracle struct {
	now   func() time.Time
	limit func() int
	rest  time.Duration // of the slot of a refused request
	held  int
	rests []time.Time
}

func (o *oracle) TryAcquire() (time.Duration, bool) {
	now := o.now()
	for len(o.rests) > 0 && !o.rests[0].After(now) {
		o.rests = o.rests[1:]
	}
	if o.held+len(o.rests) < o.limit() {
		o.held++
		return 0, true
	}
	if len(o.rests) > 0 {
		return o.rests[0].Sub(now), false
	}
	return 0, false
}

func (o *oracle) Begin() limit.Flight             { return limit.Flight{} }
func (o *oracle) Land(*limit.Flight)              {}
func (o *oracle) Succeeded(limit.Flight, float64) {}
func (o *oracle) Failed(limit.Flight)             {}
func (o *oracle) Release()                        { o.held-- }
func (o *oracle) Publish(int)                     {}
func (o *oracle) Gauge(batholith.Gauges)          {}
func (o *oracle) ReadEvery() time.Duration        { return time.Second }
func (o *oracle) Size() int                       { return o.limit() }

func (o *oracle) Refused(limit.Flight, time.Duration) time.Duration {
	o.rests = append(o.rests, o.now().Add(o.rest))
	return 0
}
