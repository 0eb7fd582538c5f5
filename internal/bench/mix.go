package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// The records of mix are of two kinds: half of them read long prompts, the others write long answers. Sizes are in tokens.
const (
	mixFlying  = 36 // requests in flight in every arrangement; 32 of them run
	mixPrompt  = 700
	mixAnswers = 200 // in the mean
)

// blend is one way to send the records of mix, and how long that took.
type blend struct {
	name string
	run  func(s *simulated) error
	took time.Duration
}

// mix measures what it gains to send records with long prompts beside records with long answers, against prompt order alone, on servers with
// the costs of an accelerator. The floor loop sends the references: a file in prompt order, and one in which the two kinds alternate.
func mix(b *bench) error {
	for _, c := range []struct {
		name  string
		flags string
		goal  bound
	}{
		{"prompts in pieces of 256 tokens", "--chunk 256", atLeast(1.1)},
		{"computes while it reads", "--chunk 384 --overlap 1", atLeast(1.1)},
		{"prompts in pieces of 8,192 tokens", "--chunk 8192", atLeast(0.99)},
	} {
		if err := b.mixOn(c.name, strings.Fields(c.flags), c.goal); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// mixOn measures all arrangements on servers with these flags, beside one another, and adds the rows.
func (b *bench) mixOn(name string, flags []string, goal bound) error {
	read, write := mixBodies(b.size(300, 120))
	alone, err := b.mixFile("alone", append(append([]string{}, write...), read...))
	if err != nil {
		return err
	}
	var alternating []string
	for i := range read {
		alternating = append(alternating, write[i], read[i])
	}
	perfect, err := b.mixFile("perfect", alternating)
	if err != nil {
		return err
	}
	rand.New(rand.NewPCG(5, 6)).Shuffle(len(alternating), func(i, j int) { alternating[i], alternating[j] = alternating[j], alternating[i] })
	shuffled, err := b.mixFile("shuffled", alternating)
	if err != nil {
		return err
	}
	sent := func(file string) func(*simulated) error {
		return func(s *simulated) error {
			_, err := b.measured(0, b.inner("floor", s.url(), file, fmt.Sprint(mixFlying)))
			return err
		}
	}
	all := []*blend{{name: "prompt order alone", run: sent(alone)}, {name: "alternating", run: sent(perfect)},
		{name: "ours", run: func(s *simulated) error {
			_, err := b.finished(fmt.Sprintf("models:\n- {id: m, family: openai, backends: [{url: %q, model: bench, max_in_flight: %d}]}\n", s.url(), mixFlying), "m", shuffled)
			return err
		}}}
	var g errgroup.Group
	for _, a := range all {
		g.Go(func() error {
			if err := b.blended(a, flags); err != nil {
				return fmt.Errorf("%s: %w", a.name, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	seconds := func(i int) float64 { return all[i].took.Seconds() }
	b.table.add(row{what: name + ": speed of a job of long prompts and long answers", against: "prompt order alone", digits: 2, reference: 1, ours: seconds(0) / seconds(2), goal: goal})
	b.table.add(row{what: name + ": the same", against: "alternating", digits: 2, reference: 1, ours: seconds(1) / seconds(2)})
	return nil
}

// blended sends the records in one way to a server of its own.
func (b *bench) blended(a *blend, flags []string) error {
	s, err := b.simulate(append([]string{"--accelerator", "h100-8b", "--slots", "32", "--cache", "30000", "--output-tokens", "100000"}, flags...)...)
	if err != nil {
		return err
	}
	defer s.child.kill()
	if err := a.run(s); err != nil {
		return err
	}
	st, err := s.stats()
	a.took = time.Duration(st.Work.Seconds * float64(time.Second))
	return err
}

// mixFile writes records into a file of its own.
func (b *bench) mixFile(name string, bodies []string) (string, error) {
	file := b.unique(name) + ".jsonl"
	return file, write(file, len(bodies), func(i int) string { return bodies[i] })
}

// mixBodies are so many records of each kind, which are in two groups that share a system prompt. max_tokens is the length of an answer.
func mixBodies(records int) (reading, writing []string) {
	r := randomly()
	system, short, long := make([]byte, 400), make([]byte, 80), make([]byte, 4*mixPrompt)
	for range 2 {
		reads, writes := words(r, system), words(r, system)
		for range records / 2 {
			reading = append(reading, fmt.Sprintf(systemBody, "z"+reads, words(r, long), 4))
			writing = append(writing, fmt.Sprintf(systemBody, "a"+writes, words(r, short), mixAnswers/2+r.IntN(mixAnswers)))
		}
	}
	return reading, writing
}
