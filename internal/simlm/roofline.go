package simlm

import (
	"math"
	"time"
)

// Roofline is the cost of a step on an accelerator whose arithmetic and whose memory are separate limits. The zero value is none; then only
// the linear cost of Options counts. With it, a step takes the linear cost and
//
//	products  = max(Weights, tokens computed in the step × Token)
//	attention = tokens of context of the requests that gain a token × Context
//	time      = products + attention - Overlap × min(products, attention)
//
// A prompt's tokens are many in one step, so they cost arithmetic. An answer's tokens come one in a step, so they cost the reading of weights
// and context. A server that computes both in one step reads the weights for both at once; one that overlaps the two operations also reads
// the context while it computes.
//
// Options.Chunk bounds all tokens of a step, and answers go first, as vLLM's max_num_batched_tokens does (vllm/v1/core/sched/scheduler.py).
// The attention of prompts is left out: for 8 billion parameters and prompts of 8,000 tokens it is an eighth of their products.
type Roofline struct {
	Weights time.Duration // reading all weights once
	Token   time.Duration // arithmetic of one token
	Context time.Duration // reading one token of context
	Overlap float64       // share of the shorter operation that runs during the longer one: 0 in vLLM, SGLang and llama.cpp; NanoFlow's is near 1
	Memory  int           // tokens of context that fit; 0: no bound. Shared beginnings are in Options.Cache and do not count
	// Apart: a step computes either prompts or answers, and prompts first. SGLang without --enable-mixed-chunk does so.
	Apart bool
}

// Accelerators are measured machines and models, each with the name that `batholith simulate` knows. The figures come from the data sheets,
// with the shares that dense models reach in practice: 0.6 of the arithmetic and 0.8 of the bandwidth. In 16 bits,
//
//	Weights = 2 × parameters / bandwidth          Token = 2 × parameters / arithmetic
//	Context = 4 × layers × KV heads × head size / bandwidth
//	Memory  = (0.9 × memory - weights - 3 GB for activations on each) / bytes of a token of context
//
// H100 SXM: 989 TFLOP/s, 3.35 TB/s, 80 GB. A100 SXM: 312 TFLOP/s, 2.04 TB/s, 80 GB. Llama 3.1 8B: 32 layers; 70B: 80 layers; both have 8 KV
// heads of 128.
var Accelerators = map[string]Roofline{
	"a100-8b":    {Weights: 9800 * time.Microsecond, Token: 86 * time.Microsecond, Context: 80, Memory: 404_000},
	"h100-8b":    {Weights: 6 * time.Millisecond, Token: 27 * time.Microsecond, Context: 49, Memory: 404_000},
	"8xh100-70b": {Weights: 6600 * time.Microsecond, Token: 30 * time.Microsecond, Context: 15, Memory: 1_250_000},
}

// on reports whether the cost counts.
func (r *Roofline) on() bool { return *r != Roofline{} }

// time is what a step takes besides the linear cost.
func (r *Roofline) time(tokens, context int) time.Duration {
	if !r.on() {
		return 0
	}
	products := max(r.Weights, time.Duration(tokens)*r.Token)
	attention := time.Duration(context) * r.Context
	return products + attention - time.Duration(r.Overlap*float64(min(products, attention)))
}

// computed is what a step computes, in tokens.
type computed struct{ prompts, answers, context int }

// plan chooses the tokens of a step, and computes those of prompts.
func (b *batch) plan() (l computed) {
	r := &b.o.Roofline
	b.makeRoom()
	prefill := false
	for _, s := range b.running {
		prefill = prefill || !s.gone && s.computed < s.length()
	}
	for _, s := range b.running {
		s.idle = false
		if s.computed < s.length() || s.gone {
			continue
		}
		if s.idle = r.Apart && prefill; !s.idle {
			l.answers++
			l.context += s.context()
		}
	}
	budget := math.MaxInt
	if b.o.Chunk > 0 {
		budget = b.o.Chunk
		if r.on() {
			budget = max(1, budget-l.answers) // a step without room for a prompt would never end
		}
	}
	for _, s := range b.running {
		if s.computed < s.length() && budget > 0 && !s.gone {
			n := b.compute(s, budget)
			budget -= n
			l.prompts += n
		}
	}
	return l
}

// budget is how many tokens of further prompts the next step has room for. A request begins only if there is some, as in vLLM, so that the
// prefix cache is looked into when its prompt is about to be computed.
func (b *batch) budget() int {
	if !b.o.Roofline.on() || b.o.Chunk <= 0 {
		return math.MaxInt
	}
	left := b.o.Chunk
	for _, s := range b.running {
		left -= max(1, s.length()-s.computed)
	}
	if len(b.running) == 0 {
		return max(left, 1)
	}
	return left
}

// length is the number of tokens to compute before the next token of the answer: the prompt, and after a preemption also what was answered.
func (s *sequence) length() int { return s.prompt + s.redone }

// context is the number of tokens that the sequence's next token attends to.
func (s *sequence) context() int { return s.computed + s.made - s.redone }

// holds is the memory of a running sequence in tokens of context. The whole prompt is reserved when the sequence begins.
func (s *sequence) holds() int { return s.prompt + s.made - s.cached }

// fits reports whether there is memory for another sequence. An empty server takes any.
func (b *batch) fits(s *sequence) bool {
	most := b.o.Roofline.Memory
	return most == 0 || len(b.running) == 0 || b.held+s.prompt+s.made-b.known(s) <= most
}

// makeRoom preempts the latest sequences until all others can gain a token. A preempted sequence loses its context; it waits before all
// others, and then its prompt and its answer so far are computed again, as in vLLM.
func (b *batch) makeRoom() {
	most := b.o.Roofline.Memory
	for n := len(b.running); most > 0 && n > 1 && b.held+n > most; n = len(b.running) {
		s := b.running[n-1]
		b.running = b.running[:n-1]
		b.held -= s.holds()
		if s.gone {
			b.account.freed(s)
			continue
		}
		b.account.preempted(s)
		s.redone, s.computed, s.cached, s.resumes = s.made, 0, 0, true
		s.place = b.waiting.PushFront(s)
	}
}

// known is the number of tokens of a waiting sequence that the prefix cache has.
func (b *batch) known(s *sequence) int {
	if b.cache == nil {
		return 0
	}
	return b.cache.leading(s.blocks) * blockTokens
}
