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
	files, err := b.mixFiles()
	if err != nil {
		return err
	}
	servers := []struct {
		name, flags string
		goal        bound
		blends      []*blend
	}{
		{name: "prompts in pieces of 256 tokens", flags: "--chunk 256", goal: atLeast(1.1)},
		{name: "computes while it reads", flags: "--chunk 384 --overlap 1", goal: atLeast(1.1)},
		{name: "prompts in pieces of 8,192 tokens", flags: "--chunk 8192", goal: atLeast(0.99)},
	}
	var g errgroup.Group
	for i := range servers {
		s := &servers[i]
		s.blends = b.blends(files)
		for _, a := range s.blends {
			g.Go(func() error {
				if err := b.blended(a, strings.Fields(s.flags)); err != nil {
					return fmt.Errorf("%s, %s: %w", s.name, a.name, err)
				}
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, s := range servers {
		for _, beside := range s.blends[1:] {
			r := row{what: "long prompts and long answers, " + s.name + ": speed", against: beside.name, digits: 2, reference: 1, ours: beside.took.Seconds() / s.blends[0].took.Seconds()}
			if beside.name == inPromptOrder {
				r.goal = s.goal
			}
			b.table.add(r)
		}
	}
	return nil
}

// The names of the references.
const (
	inPromptOrder = "prompt order alone"
	alternating   = "alternating kinds"
)

// mixFiles writes the records by chance, in prompt order, and with the two kinds in turn.
func (b *bench) mixFiles() (files [3]string, err error) {
	read, write := mixBodies(b.size(300, 120))
	order := append(append([]string{}, write...), read...)
	var turns []string
	for i := range read {
		turns = append(turns, write[i], read[i])
	}
	chance := append([]string{}, turns...)
	rand.New(rand.NewPCG(5, 6)).Shuffle(len(chance), func(i, j int) { chance[i], chance[j] = chance[j], chance[i] })
	for i, bodies := range [...][]string{chance, order, turns} {
		if files[i], err = b.mixFile(bodies); err != nil {
			return files, err
		}
	}
	return files, nil
}

// blends are Batholith's way, and the references.
func (b *bench) blends(files [3]string) []*blend {
	sent := func(file string) func(*simulated) error {
		return func(s *simulated) error {
			_, err := b.measured(0, b.inner("floor", s.url(), file, fmt.Sprint(mixFlying)))
			return err
		}
	}
	ours := func(s *simulated) error {
		_, err := b.finished(fmt.Sprintf("models:\n- {id: m, family: openai, backends: [{url: %q, model: bench, max_in_flight: %d}]}\n", s.url(), mixFlying), "m", files[0])
		return err
	}
	return []*blend{{name: "ours", run: ours}, {name: inPromptOrder, run: sent(files[1])}, {name: alternating, run: sent(files[2])}}
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
func (b *bench) mixFile(bodies []string) (string, error) {
	file := b.unique("mix") + ".jsonl"
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
