package limit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/batholith/batholith/internal/limit"
	"github.com/batholith/batholith/internal/limit/limittest"
	"github.com/batholith/batholith/internal/raced"
)

func several(now func() time.Time, _ uint64) limittest.Limiter { return limit.NewAt(0, now) }

// kinds are servers by what they say of themselves.
var kinds = []struct {
	name   string
	change func(*limittest.Params)
}{
	{"gauges", func(p *limittest.Params) { p.Gauges = limittest.RightGauges }},
	{"refusals", func(p *limittest.Params) { p.MaxWaiting = p.Slots/4 + 1 }},
	{"published slots", func(p *limittest.Params) { p.Published = true }},
	{"nothing", func(*limittest.Params) {}},
}

// One limit for all: however many workers send to a server, and whoever comes, goes or is killed, they have as much in flight as one worker
// would have, and get as much work done.
func TestSeveralWorkersKeepToTheLimitOfOne(t *testing.T) {
	const min = time.Minute
	for _, kind := range kinds {
		for _, slots := range sizes(8, 64, 256) {
			if raced.On && slots != 8 {
				continue
			}
			p := plain(slots)
			p.Seed, p.Length = 1, 3*min
			kind.change(&p)
			one := limittest.RunFleet(p, []limittest.Member{{}}, several)
			want, _ := one.Sum(min, 3*min)
			for _, c := range []struct {
				name       string
				members    []limittest.Member
				throughput float64 // at least, of one worker's
			}{
				{"two", []limittest.Member{{}, {}}, 0.95},
				{"five", []limittest.Member{{}, {}, {}, {}, {}}, 0.95},
				{"one joins", []limittest.Member{{}, {From: min}}, 0.95},
				{"three join", []limittest.Member{{}, {}, {From: min}, {From: min}, {From: min}}, 0.95},
				{"one leaves", []limittest.Member{{}, {Until: min}}, 0.95},
				{"one is killed", []limittest.Member{{}, {}, {Until: 2 * min, Killed: true}}, 0.93}, // its part is idle until its lease is lost
				{"the first is killed", []limittest.Member{{Until: 2 * min, Killed: true}, {}}, 0.93},
			} {
				t.Run(fmt.Sprintf("%s/%d/%s", kind.name, slots, c.name), func(t *testing.T) {
					r := limittest.RunFleet(p, c.members, several)
					got, most := r.Sum(min, 3*min)
					if got < 0.9*want || got > 1.25*want {
						t.Errorf("%.1f in flight, one worker has %.1f", got, want)
					}
					if float64(most) > 1.5*want+float64(len(c.members)) {
						t.Errorf("at most %d in flight, one worker has %.1f", most, want)
					}
					if share := r.Rate(min, 3*min) / one.Rate(min, 3*min); share < c.throughput {
						t.Errorf("%.3f of one worker's throughput", share)
					}
					if n, m := r.Turned(0, 3*min), one.Turned(0, 3*min); n > 2*m+200 {
						t.Errorf("%d refusals, one worker has %d", n, m)
					}
					if rows := float64(r.Rows) / p.Length.Seconds() / float64(len(c.members)); rows > 1 {
						t.Errorf("%.2f rows are written per second and worker", rows)
					}
				})
			}
		}
	}
}

// A worker that comes has its part within seconds, and what one that goes had is used again within a heartbeat.
func TestAPartMovesWithinSeconds(t *testing.T) {
	const min = time.Minute
	for _, kind := range kinds {
		p := plain(64)
		p.Length = 3 * min
		kind.change(&p)
		r := limittest.RunFleet(p, []limittest.Member{{}, {From: min, Until: 2 * min}}, several)
		before, _ := r.Sum(min-10*time.Second, min)
		if joined := r.Mean(1, min+15*time.Second, 2*min-time.Second); joined < 0.35*before {
			t.Errorf("%s: a worker that joined has %.1f of %.1f in flight", kind.name, joined, before)
		}
		if _, most := r.Sum(min, min+15*time.Second); float64(most) > 1.3*before {
			t.Errorf("%s: %d in flight at a join, %.1f before", kind.name, most, before)
		}
		if left := r.Mean(0, 2*min+6*time.Second, 2*min+20*time.Second); left < 0.85*before {
			t.Errorf("%s: seconds after a worker has left, the other has %.1f of %.1f in flight", kind.name, left, before)
		}
	}
}

// The limit is shared by demand: what one worker cannot use, the others have; when it has more to send, it gets its part again.
func TestAPartThatAWorkerCannotUseIsTheOthers(t *testing.T) {
	const min = time.Minute
	for _, kind := range kinds {
		p := plain(64)
		p.Length = 3 * min
		kind.change(&p)
		r := limittest.RunFleet(p, []limittest.Member{{}, {Most: 4, Changes: map[time.Duration]int{2 * min: 0}}}, several)
		all, _ := r.Sum(min, 2*min)
		if few := r.Mean(1, min, 2*min); few < 3.5 {
			t.Errorf("%s: a worker that has 4 requests has %.1f in flight", kind.name, few)
		}
		if most := r.Mean(0, min, 2*min); most < 0.85*all {
			t.Errorf("%s: beside it the other has %.1f of %.1f", kind.name, most, all)
		}
		if even := r.Mean(1, 2*min+15*time.Second, 3*min); even < 0.35*all {
			t.Errorf("%s: when it has more, it gets %.1f of %.1f", kind.name, even, all)
		}
	}
}

// A worker that cannot read the table for a while keeps its part: it neither stops nor grows.
func TestWithoutTheTableAWorkerKeepsItsPart(t *testing.T) {
	const min = time.Minute
	for _, kind := range kinds {
		p := plain(64)
		p.Length = 2 * min
		kind.change(&p)
		away := [2]time.Duration{90 * time.Second, 94 * time.Second}
		r := limittest.RunFleet(p, []limittest.Member{{Blind: away}, {Blind: away}}, several)
		before, _ := r.Sum(min, away[0])
		if got, most := r.Sum(away[0], away[1]); got < 0.85*before || float64(most) > 1.25*before {
			t.Errorf("%s: %.1f in flight, at most %d, and %.1f before", kind.name, got, most, before)
		}
	}
}

// A configured limit is that of all workers together, at every moment.
func TestAConfiguredLimitIsOfAllWorkers(t *testing.T) {
	p := plain(64)
	p.Length = time.Minute
	for _, n := range []int{4, 10, 40} {
		r := limittest.RunFleet(p, []limittest.Member{{}, {From: 10 * time.Second}, {From: 20 * time.Second, Until: 40 * time.Second}}, func(now func() time.Time, _ uint64) limittest.Limiter { return limit.NewAt(n, now) })
		if mean, most := r.Sum(5*time.Second, time.Minute); most > n+2 || mean < 0.93*float64(n) {
			t.Errorf("limit %d: %.1f in flight in the mean, at most %d", n, mean, most)
		}
	}
}
