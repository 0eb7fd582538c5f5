package simlm

import (
	"context"
	"math/rand/v2"
	"time"
)

// Background is traffic that others send to the same server: interactive requests that take slots and places in the queue, and
// that nobody waits for here. How long they are in the queue is what a batch job costs them.
type Background struct {
	Rate         float64 // requests a second, at random times (a Poisson process); 0: none
	PromptTokens int     // of each; 0: 256. No two have a prefix in common
	OutputTokens int     // of each; 0: as for everybody
}

const defaultOtherPrompt = 256

// Run sends the background's requests until ctx ends; with none set it returns at once.
func (s *Server) Run(ctx context.Context) error {
	o := s.o.Others
	if o.Rate <= 0 {
		return nil
	}
	random := rand.New(rand.NewPCG(s.o.Seed, mix(s.o.Seed)))
	next := time.Now()
	for {
		next = next.Add(time.Duration(random.ExpFloat64() / o.Rate * float64(time.Second)))
		if err := pass(ctx, time.Until(next)); err != nil {
			return err
		}
		q := &sequence{other: true, prompt: o.PromptTokens, output: o.OutputTokens}
		if q.prompt <= 0 {
			q.prompt = defaultOtherPrompt
		}
		if q.output <= 0 {
			q.output = s.length(random.Uint64())
		}
		for range q.prompt / blockTokens {
			q.blocks = append(q.blocks, random.Uint64())
		}
		_ = s.batch.enter(q) // a refusal is counted
	}
}
