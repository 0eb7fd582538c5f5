package dialect

import (
	"encoding/base64"
	"encoding/binary"
	"math"
)

// vectorKind writes a vector in one of Cohere's embedding types.
type vectorKind struct {
	name  string
	write func(b *buffer, v vector)
}

// vectorKinds are the embedding types, in the order of Cohere's documentation. All are computed from
// the server's floats. With x the vector, scaled to length 1, and d its number of dimensions:
//
//	int8     round(127 × xᵢ × √d / 5), from −128 to 127
//	uint8    int8 + 128
//	ubinary  8 dimensions to a byte, the first in the highest bit: 1 if xᵢ > 0
//	binary   ubinary − 128
//	base64   the floats as they are, 32 bits each, little-endian
//
// Cohere packs bits in this way (Cohere: Embed API, embedding_types; vLLM does too). It does not tell
// how it computes int8. Numbers of a unit vector have a standard deviation of 1/√d, so 5/√d, five of
// them, becomes 127. The factor is the same for all vectors of a model; so int8 vectors can be
// compared by cosine, dot product and distance.
var vectorKinds = []vectorKind{
	{"float", func(b *buffer, v vector) { b.raw(v.raw) }},
	{"int8", func(b *buffer, v vector) { b.whole(v, 0) }},
	{"uint8", func(b *buffer, v vector) { b.whole(v, 128) }},
	{"binary", func(b *buffer, v vector) { b.packed(v.numbers, -128) }},
	{"ubinary", func(b *buffer, v vector) { b.packed(v.numbers, 0) }},
	{"base64", func(b *buffer, v vector) { b.encoded(v.numbers) }},
}

// deviations is how many standard deviations the largest whole number stands for.
const deviations = 5

// whole writes int8 + offset.
func (b *buffer) whole(v vector, offset int64) {
	sum := 0.0
	for _, f := range v.numbers {
		sum += f * f
	}
	factor := 127.0 / deviations * math.Sqrt(float64(len(v.numbers))/sum)
	if sum == 0 || math.IsInf(sum, 0) {
		factor = 0
	}
	b.open('[')
	for _, f := range v.numbers {
		n := int64(max(-128, min(127, math.Round(f*factor))))
		b.integer(n + offset)
	}
	b.close(']')
}

// packed writes 8 dimensions to a number, plus offset. Missing dimensions of the last one are 0.
func (b *buffer) packed(numbers []float64, offset int64) {
	b.open('[')
	for i := 0; i < len(numbers); i += 8 {
		n := int64(0)
		for j, f := range numbers[i:min(i+8, len(numbers))] {
			if f > 0 {
				n |= 1 << (7 - j)
			}
		}
		b.integer(n + offset)
	}
	b.close(']')
}

// encoded writes the floats as Base64.
func (b *buffer) encoded(numbers []float64) {
	raw := make([]byte, 0, 4*len(numbers))
	for _, f := range numbers {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(f)))
	}
	b.text(base64.StdEncoding.EncodeToString(raw))
}
