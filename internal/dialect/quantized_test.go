package dialect

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

// TestWholeNumbersKeepTheOrderOfSimilarity quantizes unit vectors of one model and compares which of two is nearer to a third.
func TestWholeNumbersKeepTheOrderOfSimilarity(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	unitVector := func() vector {
		v := vector{numbers: make([]float64, 256)}
		for i := range v.numbers {
			v.numbers[i] = r.NormFloat64()
		}
		v.normalize()
		return v
	}
	dot := func(a, b []float64) (sum float64) {
		for i := range a {
			sum += a[i] * b[i]
		}
		return sum
	}
	whole := func(v vector) (numbers []float64) {
		var b buffer
		b.whole(v, 0)
		for n := range strings.SplitSeq(strings.Trim(string(b), "[]"), ",") {
			f, err := strconv.ParseFloat(n, 64)
			if err != nil || f < -128 || f > 127 {
				t.Fatalf("%s is no int8: %v", n, err)
			}
			numbers = append(numbers, f)
		}
		return numbers
	}
	for range 300 {
		a, near, far := unitVector(), unitVector(), unitVector()
		x, y := dot(a.numbers, near.numbers), dot(a.numbers, far.numbers)
		if math.Abs(x-y) < 0.02 { // too near each other for 8 bits
			continue
		}
		if got := dot(whole(a), whole(near)) > dot(whole(a), whole(far)); got != (x > y) {
			t.Fatalf("similarities %f and %f change places", x, y)
		}
	}
}

func TestQuantizedVectorsDoNotDependOnTheLength(t *testing.T) {
	for _, k := range vectorKinds[1:5] {
		var short, long buffer
		k.write(&short, vector{numbers: []float64{0.1, -0.2, 0.3, 0}})
		k.write(&long, vector{numbers: []float64{100, -200, 300, 0}})
		if string(short) != string(long) {
			t.Errorf("%s: %s and %s", k.name, short, long)
		}
	}
	for _, extreme := range [][]float64{{0, 0}, {math.MaxFloat64, math.MaxFloat64}, {1e-320, 0}, {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}} {
		for _, k := range vectorKinds[1:] {
			var b buffer
			k.write(&b, vector{numbers: extreme})
			wholesome(t, k.name, b)
		}
	}
}
