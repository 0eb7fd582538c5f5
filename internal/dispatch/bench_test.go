package dispatch

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/dialect"
)

// BenchmarkLimiter is what a request costs on its way through the limiter, with as many in flight as it wants.
func BenchmarkLimiter(b *testing.B) {
	for _, c := range []struct {
		name   string
		gauges bool
	}{{"goodput", false}, {"gauges", true}} {
		b.Run(c.name, func(b *testing.B) {
			l := newLimiter(0)
			var flights []flight
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				for len(flights) < 256 {
					if _, ok := l.try(); !ok {
						break
					}
					flights = append(flights, l.begin())
				}
				at := i % len(flights)
				f := flights[at]
				flights[at] = flights[len(flights)-1]
				flights = flights[:len(flights)-1]
				l.land(&f)
				l.succeeded(f, 60)
				l.release()
				if c.gauges && i%256 == 0 {
					l.gauge(batholith.Gauges{Running: min(len(flights), 128), Waiting: max(len(flights)-128, 0)})
				}
			}
		})
	}
}

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
	w := newWalk()
	var last *dialect.Prompt
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for len(w.items) < walkRecords-chunk {
			next := append([]*item(nil), chunks[i%len(chunks)]...)
			w.add(next)
			i++
		}
		last = &w.take(w.next(last)).prompt
	}
}
