package tinylm

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Sampling says how the next token is chosen. The zero value always takes the most likely one.
type Sampling struct {
	Temperature float64
	TopP        float64 // only the most likely tokens that together have this probability; 0: all
	TopK        int     // only that many of the most likely tokens; 0: all
	Seed        uint64  // the same seed gives the same answer
}

// source returns the random source of one answer.
func (s Sampling) source() *rand.Rand { return rand.New(rand.NewPCG(s.Seed, 0x7469_6e79)) }

// choose chooses a token by its logits.
func (s Sampling) choose(logits []float32, rng *rand.Rand) int {
	if s.Temperature <= 0 {
		return likeliest(logits)
	}
	return s.draw(logits, rng)
}

// likeliest is the token with the highest logit, the first of equals.
func likeliest(logits []float32) int {
	best := 0
	for i, v := range logits {
		if v > logits[best] {
			best = i
		}
	}
	return best
}

// chance is a token with its probability.
type chance struct {
	token int
	p     float64 // not normalised
}

// draw chooses a token at random, with probability ∝ e^(logit / temperature), among those that TopK and TopP leave.
func (s Sampling) draw(logits []float32, rng *rand.Rand) int {
	top := float64(logits[likeliest(logits)])
	cs := make([]chance, len(logits))
	for i, v := range logits {
		cs[i] = chance{i, math.Exp((float64(v) - top) / s.Temperature)}
	}
	slices.SortStableFunc(cs, func(a, b chance) int { return cmp.Compare(b.p, a.p) })
	if s.TopK > 0 && s.TopK < len(cs) {
		cs = cs[:s.TopK]
	}
	cs = s.nucleus(cs)
	u := rng.Float64() * total(cs)
	for _, c := range cs {
		if u -= c.p; u < 0 {
			return c.token
		}
	}
	return cs[0].token // only by rounding
}

// nucleus keeps the most likely tokens that together have the probability TopP, at least one.
func (s Sampling) nucleus(cs []chance) []chance {
	if s.TopP <= 0 || s.TopP >= 1 {
		return cs
	}
	left := total(cs) * s.TopP
	for i, c := range cs {
		if left -= c.p; left <= 0 {
			return cs[:i+1]
		}
	}
	return cs
}

// total is the sum of the probabilities.
func total(cs []chance) (sum float64) {
	for _, c := range cs {
		sum += c.p
	}
	return sum
}
