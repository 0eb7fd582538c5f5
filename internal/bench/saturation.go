package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith/internal/simlm"
)

// load is a job with more records than it can do in the time, on simulated servers.
type load struct {
	name    string
	servers [][]string // flags of each server
	limit   int        // max_in_flight; 0: Batholith finds it; negative: no job runs
	lasting time.Duration
	stats   []simlm.Stats // of each server, at the end
}

// step is the flags with the times of all simulated servers. Answers have 20 to 120 tokens and take about 1.5 s.
var step = []string{"--step", "20ms", "--decode", "40us", "--prefill", "5us", "--chunk", "8192", "--output-tokens", "20-120", "--series", "50ms"}

// saturation measures how full Batholith keeps servers without configured limits: with gauges and without, with changing slots, with
// refusals, and beside other clients. The reference is a limit that is set by hand from the known slots.
func saturation(b *bench) error {
	loads := b.loads()
	file, err := b.input(16_000, 900, openaiBody)
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(4) // a load takes a tenth of a processor, and so does its server
	for _, l := range loads {
		g.Go(func() error {
			if err := b.carry(l, file); err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	b.tellSaturation(loads)
	return b.plotAll(loads)
}

// loads are all loads. The longest are first, so that they run beside the others.
func (b *bench) loads() []*load {
	usual, long := 30*time.Second, 90*time.Second
	if b.quick {
		usual, long = 12*time.Second, 30*time.Second
	}
	third := long / 3
	schedule := fmt.Sprintf("64@0s,256@%s,64@%s", third, 2*third)
	all := []*load{
		{name: "64→256→64 slots, gauges", servers: [][]string{{"--engine", "vllm", "--schedule", schedule}}, lasting: long},
		{name: "64→256→64 slots, nothing told", servers: [][]string{{"--engine", "none", "--schedule", schedule}}, lasting: long},
	}
	add := func(name string, limit int, servers ...string) *load {
		l := &load{name: name, limit: limit, lasting: usual}
		for _, s := range servers {
			l.servers = append(l.servers, strings.Fields(s))
		}
		all = append(all, l)
		return l
	}
	for _, slots := range []int{8, 64, 256} {
		add(fmt.Sprintf("%d slots, gauges", slots), 0, fmt.Sprintf("--engine vllm --slots %d", slots))
		untold := add(fmt.Sprintf("%d slots, nothing told", slots), 0, fmt.Sprintf("--engine none --slots %d", slots))
		untold.lasting = usual * 3 / 2 // the search alone takes half a minute
		add(fmt.Sprintf("%d slots, fixed", slots), slots, fmt.Sprintf("--engine none --slots %d", slots))
		add(fmt.Sprintf("%d slots, fixed × 1.25", slots), slots*5/4, fmt.Sprintf("--engine none --slots %d", slots))
	}
	add("64 slots, 429 beyond 16 that wait", 0, "--engine none --slots 64 --queue 16")
	add("64 slots, 503 with Retry-After beyond 16 that wait", 0, "--engine none --slots 64 --queue 16 --refuse 503 --retry-after 1s")
	add("two servers, one half as fast", 0, "--engine vllm --slots 64", "--engine vllm --slots 64 --step 40ms")
	add("others alone", -1, "--engine vllm --slots 64 --others 15")
	add("others beside us", 0, "--engine vllm --slots 64 --others 15")
	return all
}

// carry runs one load and stores the statistics of its servers.
func (b *bench) carry(l *load, file string) error {
	settings := "models:\n- id: m\n  family: openai\n  backends:\n"
	var servers []*simulated
	for _, flags := range l.servers {
		s, err := b.simulate(append(append([]string{}, step...), flags...)...)
		if err != nil {
			return err
		}
		defer s.child.kill()
		servers = append(servers, s)
		settings += fmt.Sprintf("  - {url: %q, model: bench, max_in_flight: %d}\n", s.url(), max(l.limit, 0))
	}
	if l.limit >= 0 {
		cmd, err := b.job(settings, "m", file)
		if err != nil {
			return err
		}
		c, err := b.start(cmd)
		if err != nil {
			return err
		}
		defer c.kill() // without a shutdown, which is not measured here
	}
	select {
	case <-time.After(l.lasting):
	case <-b.ctx.Done():
		return b.ctx.Err()
	}
	for _, s := range servers {
		st, err := s.stats()
		if err != nil {
			return err
		}
		l.stats = append(l.stats, st)
	}
	return nil
}

// picture says how full a server was.
type picture struct {
	saturated float64 // seconds from the first request until 0.98 of the slots were busy for a second; infinite: never
	again     float64 // the same after a change of the slots, for the slowest one; NaN: no change
	busy      float64 // share of the slots' time that was used, while the server should be full
	starved   float64 // share of it in which a slot was free and no request waited
	inFlight  float64 // most requests in flight per slot, in the second half
}

// patience is the number of seconds after which a server should be full: from the first request, and from a change of its slots.
const patience = 10

// pictureOf computes the picture from a series. The slots may change in it.
func pictureOf(s *simlm.Series) (p picture) {
	second := int(1/s.Interval + 0.5)
	began := 0
	for began < len(s.Running) && s.Running[began]+s.Waiting[began] == 0 {
		began++
	}
	p.again = none
	full := func(since int) (from int, took float64) {
		from = saturatedAt(s, since, second)
		if from < 0 {
			return since + patience*second, math.Inf(1)
		}
		return min(from, since+patience*second), float64(from-since) * s.Interval
	}
	from, changed := 0, -patience*second
	from, p.saturated = full(began)
	var busy, starved, offered float64
	for i := range s.Running {
		if i > began && s.Slots[i] != s.Slots[i-1] {
			var took float64
			from, took = full(i)
			if math.IsNaN(p.again) || took > p.again {
				p.again = took
			}
			changed = i
		}
		if i < from {
			continue
		}
		slots, running := float64(max(s.Slots[i], s.Running[i])), float64(s.Running[i])
		offered, busy = offered+slots, busy+running
		if s.Waiting[i] == 0 {
			starved += slots - running
		}
		if i >= len(s.Running)/2 && i >= changed+patience*second && s.Slots[i] > 0 {
			p.inFlight = max(p.inFlight, float64(s.Running[i]+s.Waiting[i])/float64(s.Slots[i]))
		}
	}
	p.busy, p.starved = busy/offered, starved/offered
	return p
}

// saturatedAt is the index of the first second, from an index on, in which 98 % of the slots were always busy; -1: there is none.
func saturatedAt(s *simlm.Series, from, second int) int {
	run := 0
	for i := from; i < len(s.Running); i++ {
		if run++; float64(s.Running[i]) < 0.98*float64(s.Slots[i]) {
			run = 0
		}
		if run == second {
			return i + 1 - second
		}
	}
	return -1
}

// tellSaturation adds the rows.
func (b *bench) tellSaturation(loads []*load) {
	by := map[string][]picture{}
	stats := map[string][]simlm.Stats{}
	for _, l := range loads {
		for i := range l.stats {
			by[l.name] = append(by[l.name], pictureOf(l.stats[i].Series))
		}
		stats[l.name] = l.stats
	}
	for _, slots := range []int{8, 64, 256} {
		fixed, known := by[fmt.Sprintf("%d slots, fixed", slots)][0], by[fmt.Sprintf("%d slots, fixed × 1.25", slots)][0]
		b.table.add(row{what: fmt.Sprintf("slots busy: %d slots, a fixed limit of as many", slots), against: "fixed at × 1.25", reference: known.busy, ours: fixed.busy, digits: 3})
		for _, told := range []string{"gauges", "nothing told"} {
			b.tellOne(fmt.Sprintf("%d slots, %s", slots, told), by[fmt.Sprintf("%d slots, %s", slots, told)][0], "fixed at × 1.25", known.busy)
		}
	}
	for _, refused := range []string{"429", "503 with Retry-After"} {
		name := "64 slots, " + refused + " beyond 16 that wait"
		b.tellOne(name, by[name][0], "fixed at × 1.25", by["64 slots, fixed × 1.25"][0].busy)
	}
	for i, which := range []string{"the fast of two servers", "the slow one, half as fast"} {
		b.tellOne(which, by["two servers, one half as fast"][i], "ideal", 1)
	}
	for _, told := range []string{"gauges", "nothing told"} {
		b.tellOne("64→256→64 slots, "+told, by["64→256→64 slots, "+told][0], "ideal", 1)
	}
	b.tellOne("others beside us, gauges", by["others beside us"][0], "ideal", 1)
	b.table.add(row{what: "others' time in the queue beside us, s, p95", against: "others alone", reference: stats["others alone"][0].Others.Wait.P95,
		ours: stats["others beside us"][0].Others.Wait.P95, digits: 3, goal: atMost(0.5)})
}

// tellOne adds the rows of one server.
func (b *bench) tellOne(name string, p picture, against string, reference float64) {
	b.table.add(row{what: "slots busy: " + name, against: against, reference: reference, ours: p.busy, digits: 3, goal: atLeast(0.98), stretch: atLeast(0.985)})
	b.table.add(row{what: "slots starved: " + name, reference: none, ours: p.starved, digits: 4, goal: atMost(0.01), stretch: atMost(0.005)})
	b.table.add(row{what: "seconds until 0.98 are busy: " + name, reference: none, ours: p.saturated, digits: 1, goal: atMost(10), stretch: atMost(3)})
	if !math.IsNaN(p.again) {
		b.table.add(row{what: "seconds until 0.98 are busy again after a change: " + name, reference: none, ours: p.again, digits: 1, goal: atMost(10), stretch: atMost(3)})
	}
	b.table.add(row{what: "most in flight for each slot, second half: " + name, reference: none, ours: p.inFlight, digits: 2})
}
