package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith/internal/simlm"
)

// The records of prefix are in groups that share a system prompt. The server's cache has room for a quarter of these prompts.
const (
	prefixGroups = 200
	prefixFlying = 20 // requests in flight in every arrangement; 16 of them run
)

// grouping is one size of groups.
type grouping struct {
	bytes int // length of a system prompt
	per   int // records in a group
	name  string
}

// The second has 32 MB, more than the window of a job in input order.
var groupings = []grouping{{2_000, 20, "2 KB"}, {6_000, 25, "6 KB"}}

// arrangement is one way to order and send the records, and its result.
type arrangement struct {
	name string
	run  func(s *simulated) error
	took time.Duration
	hits float64 // share of the prompts' tokens that the cache had
}

// prefix measures how much of the gain of perfect grouping Batholith gets, for records that share beginnings and come in random order. All
// arrangements have the same number of requests in flight; the floor loop sends a file in its order.
func prefix(b *bench) error {
	for _, g := range groupings {
		if err := b.prefixOf(g); err != nil {
			return err
		}
	}
	return nil
}

// prefixOf measures one size of groups: it makes the files, runs all arrangements, and adds the rows.
func (b *bench) prefixOf(of grouping) error {
	shuffled, grouped := b.unique("shuffled")+".jsonl", b.unique("grouped")+".jsonl"
	bodies := prefixBodies(of, b.size(of.per, 8))
	if err := write(grouped, len(bodies), func(i int) string { return bodies[i] }); err != nil {
		return err
	}
	rand.New(rand.NewPCG(5, 6)).Shuffle(len(bodies), func(i, j int) { bodies[i], bodies[j] = bodies[j], bodies[i] })
	if err := write(shuffled, len(bodies), func(i int) string { return bodies[i] }); err != nil {
		return err
	}
	parts := b.unique("parts")
	if err := os.Mkdir(parts, 0o700); err != nil {
		return err
	}
	for n, part := range slices.Collect(slices.Chunk(bodies, (len(bodies)+3)/4)) {
		if err := write(filepath.Join(parts, fmt.Sprintf("%d.jsonl", n)), len(part), func(i int) string { return part[i] }); err != nil {
			return err
		}
	}
	all := []*arrangement{
		{name: "in the input's order", run: func(s *simulated) error { return b.looped(s, shuffled) }},
		{name: "perfectly grouped", run: func(s *simulated) error { return b.looped(s, grouped) }},
		{name: "one file", run: func(s *simulated) error { return b.ordered(s, shuffled) }},
		{name: "four files", run: func(s *simulated) error { return b.ordered(s, parts) }},
		{name: "four jobs", run: func(s *simulated) error { return b.fourJobs(s, parts) }},
	}
	var g errgroup.Group
	for _, a := range all {
		g.Go(func() error {
			if err := b.arrange(of, a); err != nil {
				return fmt.Errorf("%s: %w", a.name, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	tellPrefix(b, of, all)
	return nil
}

// tellPrefix adds the rows. The first two arrangements, input order and perfect grouping, are the references.
func tellPrefix(b *bench, of grouping, all []*arrangement) {
	none, best := all[0], all[1]
	b.table.add(row{what: fmt.Sprintf("%d shared prefixes of %s, cache for a quarter: seconds in the input's order", prefixGroups, of.name), against: "perfectly grouped", digits: 1,
		reference: best.took.Seconds(), ours: none.took.Seconds()})
	b.table.add(row{what: of.name + ": share of the prompts cached, in the input's order", against: "perfectly grouped", digits: 2, reference: best.hits, ours: none.hits})
	for _, a := range all[2:] {
		b.table.add(row{what: of.name + ": share of the prompts cached: " + a.name, against: "perfectly grouped", digits: 2, reference: best.hits, ours: a.hits})
		gain := row{what: of.name + ": share of the time that grouping gains: " + a.name, against: "perfectly grouped", digits: 2, reference: 1,
			ours: (none.took - a.took).Seconds() / (none.took - best.took).Seconds(), goal: atLeast(0.95)}
		b.table.add(gain)
	}
}

// prefixBodies are the bodies of all groups, per records each, group by group.
func prefixBodies(of grouping, per int) (bodies []string) {
	r := randomly()
	system, user := make([]byte, of.bytes), make([]byte, 200)
	for range prefixGroups {
		shared := words(r, system)
		for range per {
			bodies = append(bodies, fmt.Sprintf(systemBody, shared, words(r, user), 16))
		}
	}
	return bodies
}

// arrange runs one arrangement on a server of its own.
func (b *bench) arrange(of grouping, a *arrangement) error {
	cache := prefixGroups / 4 * (of.bytes/4 + 60) // the cache also holds the prompts' own parts
	s, err := b.simulate("--slots", "16", "--step", "4ms", "--prefill", "15us", "--cache", fmt.Sprint(cache), "--output-tokens", "16")
	if err != nil {
		return err
	}
	defer s.child.kill()
	if err := a.run(s); err != nil {
		return err
	}
	st, err := s.stats()
	a.took, a.hits = loaded(st), float64(st.CachedTokens)/float64(st.PromptTokens)
	return err
}

// loaded is the time from the first request to the last answer.
func loaded(st simlm.Stats) time.Duration {
	return time.Duration(st.Loaded.Seconds * float64(time.Second))
}

// looped sends a file in its order, with the floor loop.
func (b *bench) looped(s *simulated, file string) error {
	_, err := b.measured(0, b.inner("floor", s.url(), file, fmt.Sprint(prefixFlying)))
	return err
}

// prefixSettings are the settings of Batholith for a simulated server.
func prefixSettings(s *simulated) string {
	return fmt.Sprintf("models:\n- {id: m, family: openai, backends: [{url: %q, model: bench, max_in_flight: %d}]}\n", s.url(), prefixFlying)
}

// ordered sends a file or a folder as one job of batholith run.
func (b *bench) ordered(s *simulated, input string) error {
	_, err := b.finished(prefixSettings(s), "m", input)
	return err
}

// fourJobs sends the four parts as four jobs of one server.
func (b *bench) fourJobs(s *simulated, parts string) error {
	server, err := b.serve(prefixSettings(s))
	if err != nil {
		return err
	}
	defer server.end()
	var arns []string
	for n := range 4 {
		if err := server.upload(fmt.Sprintf("in/%d.jsonl", n), filepath.Join(parts, fmt.Sprintf("%d.jsonl", n))); err != nil {
			return err
		}
	}
	for n := range 4 {
		arn, err := server.create(server.client(0), fmt.Sprintf("part-%d", n), fmt.Sprintf("in/%d.jsonl", n))
		if err != nil {
			return err
		}
		arns = append(arns, arn)
	}
	for _, arn := range arns {
		if _, err := server.ended(arn, often, 5*time.Minute); err != nil {
			return err
		}
	}
	return nil
}
