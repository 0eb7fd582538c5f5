package limit

import (
	"testing"

	"github.com/batholith/batholith"
)

// BenchmarkLimiter is what a request costs on its way through the limiter, with as many in flight as it wants.
func BenchmarkLimiter(b *testing.B) {
	for _, c := range []struct {
		name   string
		gauges bool
	}{{"goodput", false}, {"gauges", true}} {
		b.Run(c.name, func(b *testing.B) {
			l := New(0)
			var flights []Flight
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				for len(flights) < 256 {
					if _, ok := l.TryAcquire(); !ok {
						break
					}
					flights = append(flights, l.Begin())
				}
				at := i % len(flights)
				f := flights[at]
				flights[at] = flights[len(flights)-1]
				flights = flights[:len(flights)-1]
				l.Land(&f)
				l.Succeeded(f, 60)
				l.Release()
				if c.gauges && i%256 == 0 {
					l.Gauge(batholith.Gauges{Running: min(len(flights), 128), Waiting: max(len(flights)-128, 0)})
				}
			}
		})
	}
}
