package main

import (
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith/internal/simlm"
)

// evidenceServer is the flags of a server whose answers take 0.1 s.
var evidenceServer = []string{"--engine", "none", "--slots", "32", "--step", "10ms", "--output-tokens", "10"}

// evidence measures what failures of some records cost the others. First: 20 % of the records always fail in one way, against the same
// records failing with a 400, which is not retried. Second: 20 % of the requests are refused at random, against none.
func evidence(b *bench) error {
	n := b.size(6_000, 1_500)
	file, err := b.input(n, 100, openaiBody)
	if err != nil {
		return err
	}
	const share, refused = 0.2, 0.2
	cases := []struct {
		name  string
		flags []string
		limit int // 0: Batholith finds it
		stats simlm.Stats
	}{
		{name: "400", flags: []string{"--fail", fmt.Sprint("400=", share)}, limit: 32},
		{name: "500", flags: []string{"--fail", fmt.Sprint("500=", share)}, limit: 32},
		{name: "403", flags: []string{"--fail", fmt.Sprint("403=", share)}, limit: 32},
		{name: "reset", flags: []string{"--fail", fmt.Sprint("reset=", share)}, limit: 32},
		{name: "calm, fixed", limit: 32},
		{name: "refused, fixed", flags: []string{"--fail-at-random", fmt.Sprintf("503=%g,429=%g", refused/2, refused/2)}, limit: 32},
		{name: "calm, found"},
		{name: "refused, found", flags: []string{"--fail-at-random", fmt.Sprintf("503=%g,429=%g", refused/2, refused/2)}},
	}
	var g errgroup.Group
	g.SetLimit(2) // each takes a quarter of a processor, and so does its server
	for i := range cases {
		g.Go(func() (err error) {
			c := &cases[i]
			c.stats, err = b.answered(append(append([]string{}, evidenceServer...), c.flags...), c.limit, file)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	rate := map[string]float64{}
	// The rate of the records that are answered, until the last of them is: what is asked again about bad records afterwards holds up nobody.
	for _, c := range cases {
		rate[c.name] = float64(c.stats.Work.Answered) / c.stats.Work.Seconds // without canaries, which have one token
	}
	for _, kind := range []string{"500", "403", "reset"} {
		b.table.add(row{what: fmt.Sprintf("%.0f %% of the records always get a %s: the others' answers a second", 100*share, kind), against: "asked once, a 400", reference: rate["400"],
			ours: rate[kind], digits: 1, ofRatio: true, goal: atLeast(0.95)})
	}
	for _, limit := range []string{"fixed", "found"} {
		b.table.add(row{what: fmt.Sprintf("%.0f %% refused at random, the limit %s: answers a second", 100*refused, limit), against: "none refused", reference: rate["calm, "+limit],
			ours: rate["refused, "+limit], digits: 1, ofRatio: true, goal: atLeast(0.9 * (1 - refused))})
	}
	return nil
}

// answered runs a job on a simulated server to its end, and returns the server's statistics.
func (b *bench) answered(flags []string, limit int, file string) (st simlm.Stats, err error) {
	s, err := b.simulate(flags...)
	if err != nil {
		return st, err
	}
	defer s.child.end()
	if _, err := b.finished(fmt.Sprintf("models:\n- {id: m, family: openai, backends: [{url: %q, model: bench, max_in_flight: %d}]}\n", s.url(), limit), "m", file); err != nil {
		return st, err
	}
	return s.stats()
}
