package limittest

import (
	"math"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/limit"
)

// Oracle does the work of another run once more, in the shortest time that one of a few limits takes: a factor times the number of running
// requests that gives the highest rate, at every moment. The limits are computed from the parameters, and all are tried. It waits for a
// moment after a refusal, and needs no search.
//
//	throughput = work / seconds from the first request to the last answer
//
// of the same work, so that requests which are begun and do not come back are no gain: an oracle that is judged at the end of a window
// wins by piling up at a slow replica what it never has to wait for.
//
// No limit counts that others would suffer from more than from the run that is done again: one with more refusals for an answer than that
// and than refusals says; or, beside others, with more in flight than that and than 1.3 of the slots.
func Oracle(p Params, again Result) (best Result) {
	most, later := p.ours(p.Slots), p.ours(max(p.Later, 1))
	rest := max(5*time.Millisecond, time.Duration(float64(most)/p.Rate(most)/10*1e9))
	p.Requests += p.Requests / 100 // one request less in a minute is not to cost it another minute
	p.Tokens += p.Tokens / 100
	try := func(factor float64) (r Result, fair bool) {
		limit := func(slots int) int { return max(int(math.Ceil(float64(p.Replicas*slots)*factor)), 1) }
		r = run(p, &job{again.done, again.Answers}, 2*again.Took, func(now func() time.Time) Limiter {
			return &oracle{now: now, rest: rest, limit: func() int {
				if p.Later > 0 && now().Sub(epoch) >= p.Change {
					return limit(later)
				}
				return limit(most)
			}}
		})
		if r.Answered < again.Answered { // it did not end
			r.Took = 2 * again.Took
		}
		return r, r.refusals() <= max(p.refusals(), again.refusals()) && (p.Others == 0 || factor < 1.3 || r.InFlight <= again.InFlight)
	}
	for _, factor := range []float64{1, 1.1, 1.25, 1.6, 2.5, 5, 12} {
		r, fair := try(factor)
		if !fair || factor > 1.5 && p.Sick != TenTimes && r.Took > best.Took-best.Took/100 {
			break
		}
		if best.Took == 0 || r.Took < best.Took {
			best = r
		}
	}
	for _, factor := range []float64{0.8, 0.6, 0.4, 0.25, 0.15, 0.1, 0.06, 0.03, 0} { // even one for each slot is refused too often
		if best.Took > 0 {
			break
		}
		if r, fair := try(factor); fair || factor == 0 {
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

func (r *Result) refusals() float64 { return float64(r.Refused) / max(float64(r.Answered), 1) }

// refusals is how many refusals for an answer an oracle may have: what there are whatever it does, and one for four answers.
func (p *Params) refusals() float64 {
	n := p.Refusals / (1 - p.Refusals)
	if p.Sick == Refuses || p.Sick == TenTimes && (p.MaxWaiting+p.MaxHeld+p.MaxTokens > 0 || p.Patience > 0) {
		n += (1 + n) / float64(p.Replicas-1)
	}
	return 0.25 + 1.2*n
}

type oracle struct {
	now   func() time.Time
	limit func() int
	rest  time.Duration // of the slot of a refused request
	quota time.Time     // it is used up until then
	held  int
	rests []time.Time
}

func (o *oracle) TryAcquire() (time.Duration, bool) {
	now := o.now()
	for len(o.rests) > 0 && !o.rests[0].After(now) {
		o.rests = o.rests[1:]
	}
	if o.held+len(o.rests) < o.limit() && !now.Before(o.quota) {
		o.held++
		return 0, true
	}
	if wait := o.quota.Sub(now); wait > 0 {
		return wait, false
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
