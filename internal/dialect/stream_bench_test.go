package dialect

import (
	"fmt"
	"testing"

	"github.com/batholith/batholith"
)

// BenchmarkStream is a stream of 500 chunks, as vLLM sends them, for Claude's family.
func BenchmarkStream(b *testing.B) {
	f := streamedFamilies[0]
	d := f.dialect(b)
	var chunks [][]byte
	for i := range 500 {
		chunks = append(chunks, fmt.Appendf(nil, `{"id":"chatcmpl-0123456789","object":"chat.completion.chunk","created":1700000000,"model":"served","choices":[{"index":0,"delta":{"content":" word%d"},"logprobs":null,"finish_reason":null}],"usage":null}`, i))
	}
	chunks = append(chunks, []byte(`{"id":"chatcmpl-0123456789","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`), []byte(`{"choices":[],"usage":`+usageJSON+`}`), []byte(streamEnd))
	b.ReportAllocs()
	for b.Loop() {
		s := d.NewStream([]byte(f.input), batholith.Call{Path: chatPath, Body: []byte("{}")})
		for _, c := range chunks {
			if _, err := s.Event(c); err != nil {
				b.Fatal(err)
			}
		}
		if _, _, err := s.End(StreamTimes{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(chunks)), "ns/event")
}
