package main

import (
	"fmt"
	"math"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/batholith/batholith/internal/simlm"
)

// fair measures how a server is shared: small jobs beside a large one of the same principal, and three principals whose records have
// different sizes.
func fair(b *bench) error {
	if err := b.smallBesideLarge(); err != nil {
		return err
	}
	return b.threePrincipals()
}

// shareServer starts a model server of 32 slots, and a Batholith that uses it.
func (b *bench) shareServer() (*witness, *server, error) {
	w, err := newWitness(simlm.Options{Slots: 32, Step: 10 * time.Millisecond, OutputTokens: 64})
	if err != nil {
		return nil, nil, err
	}
	s, err := b.serve(fmt.Sprintf("models:\n- {id: m, family: openai, backends: [{url: %q, model: bench}]}\n", w.url))
	if err != nil {
		w.close()
	}
	return w, s, err
}

// named uploads a job of n records. Their prompts have the given number of bytes and begin with the name; their answers have the given
// number of tokens.
func (s *server) named(name string, n, bytes, tokens int) error {
	r, prompt := randomly(), make([]byte, bytes)
	path := s.b.unique(name)
	err := write(path, n, func(i int) string {
		return fmt.Sprintf(`{"messages":[{"role":"user","content":"%s|%d %s"}],"max_tokens":%d}`, name, i, words(r, prompt), tokens)
	})
	if err != nil {
		return err
	}
	return s.upload("in/"+name+".jsonl", path)
}

// smallBesideLarge measures the time of small jobs beside a large one, against the same jobs alone.
func (b *bench) smallBesideLarge() error {
	w, s, err := b.shareServer()
	if err != nil {
		return err
	}
	defer w.close()
	defer s.end()
	small := b.size(200, 30)
	for i := range small {
		for _, when := range []string{"alone", "beside"} {
			if err := s.named(fmt.Sprintf("%s-%d", when, i), 8, 200, 20); err != nil {
				return err
			}
		}
	}
	large := b.size(1_000_000, 40_000)
	if err := s.named("large", large, 200, 20); err != nil {
		return err
	}
	alone, err := s.smallJobs("alone", small)
	if err != nil {
		return err
	}
	c := s.client(0)
	if _, err := s.create(c, "large", "in/large.jsonl"); err != nil {
		return err
	}
	if err := until("the large job runs", often, time.Minute, func() (bool, error) { _, done := w.counts("large"); return done > 200, nil }); err != nil {
		return err
	}
	_, before := w.counts("large")
	began := time.Now()
	beside, err := s.smallJobs("beside", small)
	if err != nil {
		return err
	}
	_, after := w.counts("large")
	_, ofSmall := w.counts("beside")
	what := fmt.Sprintf("%d small jobs, eight a second, beside one of %d records: ", small, large)
	for _, share := range []float64{0.5, 0.95} {
		b.table.add(row{what: fmt.Sprintf("%sseconds each, p%.0f", what, 100*share), against: "alone", digits: 2, reference: quantile(alone, share),
			ours: quantile(beside, share)})
	}
	// Records that the large job could do beside the small ones: 32 slots, 20 tokens of 10 ms for each record.
	left := time.Since(began).Seconds()*32/0.2 - float64(ofSmall)
	b.table.add(row{what: what + "its records meanwhile", against: "what they leave it", reference: left, ours: float64(after - before)})
	return nil
}

// smallJobs submits n jobs, eight per second, and returns the seconds that each took from its submission to its end.
func (s *server) smallJobs(when string, n int) ([]float64, error) {
	took := make([]float64, n)
	c := s.client(0)
	var g errgroup.Group
	tick := time.NewTicker(time.Second / 8)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		g.Go(func() error {
			began := time.Now()
			name := fmt.Sprintf("%s-%d", when, i)
			arn, err := s.create(c, name, "in/"+name+".jsonl")
			if err != nil {
				return err
			}
			job, err := s.over(c, arn, 20*time.Millisecond, 2*time.Minute) // so that the questions do not load the server
			if err != nil {
				return err
			}
			took[i] = job.EndTime.Sub(began).Seconds()
			return nil
		})
	}
	return took, g.Wait()
}

// threePrincipals measures the least share of tokens among three principals whose records have different sizes.
func (b *bench) threePrincipals() error {
	w, s, err := b.shareServer()
	if err != nil {
		return err
	}
	defer w.close()
	defer s.end()
	sizes := []struct{ bytes, tokens int }{{2_000, 10}, {400, 20}, {200, 60}}
	for i, p := range principals {
		if err := s.named(p, 20_000, sizes[i].bytes, sizes[i].tokens); err != nil {
			return err
		}
	}
	for i, p := range principals {
		if _, err := s.create(s.client(i), p, "in/"+p+".jsonl"); err != nil {
			return err
		}
	}
	answered := func() (least, all int) {
		least = math.MaxInt
		for _, p := range principals {
			_, done := w.counts(p)
			least, all = min(least, done), all+done
		}
		return least, all
	}
	// After 30 answers of each job, Batholith knows the mean tokens of its answers.
	err = until("each job has 30 answers", often, time.Minute, func() (bool, error) { least, _ := answered(); return least >= 30, nil })
	if err != nil {
		return err
	}
	w.forget()
	enough := b.size(1300, 500) // what the server answers in 15 s or 6 s
	err = until(fmt.Sprintf("the three jobs have %d more answers", enough), often, 2*time.Minute, func() (bool, error) { _, all := answered(); return all >= enough, nil })
	if err != nil {
		return err
	}
	tokens := make([]float64, len(principals))
	sum, least := 0.0, 1.0
	for i, p := range principals {
		_, done := w.counts(p)
		tokens[i] = float64(done * (sizes[i].bytes/4 + 12 + sizes[i].tokens))
		sum += tokens[i]
	}
	for _, t := range tokens {
		least = min(least, t/sum)
	}
	b.table.add(row{what: "three principals, records of 510, 120 and 110 tokens: the least share of tokens", against: "equal shares", digits: 3, reference: 1.0 / 3, ours: least,
		ofRatio: true, goal: atLeast(0.9)})
	return nil
}
