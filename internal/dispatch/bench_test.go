package dispatch

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/memory"
)

// BenchmarkWalk is what it costs to take a record out of a full window in the order of prompts, the reading and sorting of the next included.
func BenchmarkWalk(b *testing.B) {
	const chunk = 512
	r := rand.New(rand.NewPCG(1, 2))
	chunks := make([][]*item, 64)
	for i := range chunks {
		for range chunk {
			body := fmt.Appendf(nil, `{"messages":[{"role":"user","content":"question %d"}],"system":"%d %0600d"}`, r.Int(), r.IntN(200), 0)
			chunks[i] = append(chunks[i], &item{prompt: dialect.PromptOf(body)})
		}
	}
	w := newWalk(memory.NewBudget(1 << 30))
	var last *dialect.Prompt
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for len(w.items) < walkRecords-chunk {
			next := append([]*item(nil), chunks[i%len(chunks)]...)
			w.add(next)
			i++
		}
		last = &w.take(w.next(last, reading)).prompt
	}
}
