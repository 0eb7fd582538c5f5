package simlm

import (
	"context"
	"math/rand/v2"
	"time"
)

// Background is the traffic of other clients: interactive requests that take slots and places in the queue, without a connection. Their
// time in the queue shows what a batch job costs them.
type Background struct {
	Rate         float64 // requests per second, at random times (a Poisson process); 0: none
	PromptTokens int     // of each request; 0: 256. No two share a prefix
	OutputTokens int     // of each request; 0: as Options says
}

const defaultOtherPrompt = 256

// Run sends the requests of the background until ctx ends. Without a background it returns at once.
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
