package tinylm

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

func load(t testing.TB) *Model {
	t.Helper()
	m, err := Load(Weights())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// golden is one prompt run through the PyTorch model by training/evaluate.py.
type golden struct {
	IDs          []int `json:"ids"`
	Last, Middle []float32
	Answer       string
}

func goldens(t testing.TB) (g []golden) {
	t.Helper()
	b, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	if len(g) < 4 {
		t.Fatalf("%d goldens", len(g))
	}
	return g
}

// All prompts run as one step, so that their rows stand side by side.
func TestLogitsAreThoseOfPyTorch(t *testing.T) {
	m, gs := load(t), goldens(t)
	var rows []row
	var want []int
	for _, g := range gs {
		s := m.newSequence(g.IDs, 0)
		for p := range g.IDs {
			rows = append(rows, row{s, p})
		}
		last := len(rows) - 1
		want = append(want, last-len(g.IDs)+1+len(g.IDs)/2, last)
	}
	var b scratch
	logits := m.logits(&b, m.forward(&b, rows), want)
	for i, g := range gs {
		near(t, i, logits[2*i], g.Middle)
		near(t, i, logits[2*i+1], g.Last)
	}
}

func near(t *testing.T, prompt int, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("prompt %d: %d logits, want %d", prompt, len(got), len(want))
	}
	for i := range want {
		if math.Abs(float64(got[i]-want[i])) > 1e-3 {
			t.Fatalf("prompt %d: logit %d is %v, want %v", prompt, i, got[i], want[i])
		}
	}
}

func TestSequenceThatAdoptsABeginningIsTheOneThatComputesIt(t *testing.T) {
	m, g := load(t), goldens(t)[0]
	run := func(s *sequence) []float32 {
		var rows []row
		for p := s.done; p < len(s.ids); p++ {
			rows = append(rows, row{s, p})
		}
		var b scratch
		x := m.forward(&b, rows)
		s.done = len(s.ids)
		return m.logits(&b, x, []int{len(rows) - 1})[0]
	}
	whole := m.newSequence(g.IDs, 5)
	want := append([]float32(nil), run(whole)...)
	for _, n := range []int{1, 7, 8, 17, len(g.IDs) - 1} {
		part := m.newSequence(g.IDs, 90)
		part.adopt(m, whole, n)
		for i, v := range run(part) {
			if v != want[i] {
				t.Fatalf("%d tokens adopted: logit %d is %v, want %v", n, i, v, want[i])
			}
		}
	}
}

func TestSharedCountsStoredTokensOnly(t *testing.T) {
	s := &sequence{ids: []int{1, 2, 3, 4}, done: 3}
	for _, c := range []struct {
		ids  []int
		want int
	}{{[]int{1, 2, 3, 4}, 3}, {[]int{1, 2, 9}, 2}, {[]int{1}, 1}, {[]int{9}, 0}, {nil, 0}} {
		if got := s.shared(c.ids); got != c.want {
			t.Errorf("shared(%v) = %d, want %d", c.ids, got, c.want)
		}
	}
}

func TestKernelIsThePlainSum(t *testing.T) {
	const rows, in, outs = 3, 37, 20
	w, x := make([]float32, outs*in), make([]float32, rows*in)
	for i := range w {
		w[i] = float32(i%13) - 6
	}
	for i := range x {
		x[i] = float32(i%7) - 3
	}
	p := pack(w, in)
	width := len(p) / in * panel
	y := make([]float32, rows*width)
	matmul(y, x, p, rows, in)
	for r := range rows {
		for j := range width {
			var want float32
			for k := 0; k < in && j < outs; k++ {
				want += w[j*in+k] * x[r*in+k]
			}
			if y[r*width+j] != want {
				t.Fatalf("row %d output %d is %v, want %v", r, j, y[r*width+j], want)
			}
		}
	}
}

func TestExpIsCloseToTheStandardLibrarys(t *testing.T) {
	for x := float32(-86); x < 87; x += .0137 {
		if e := math.Abs(float64(exp(x))/math.Exp(float64(x)) - 1); e > 1e-5 {
			t.Fatalf("exp(%v) is off by %g", x, e)
		}
	}
}

func TestHalfWidensExactly(t *testing.T) {
	for h, want := range map[uint16]float32{0: 0, 0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 0x0001: 5.9604645e-08, 0x3555: 0.33325195} {
		if got := half(h); got != want {
			t.Errorf("half(%#x) = %v, want %v", h, got, want)
		}
	}
}

func TestTruncatedFileIsRefused(t *testing.T) {
	b := Weights()
	for _, n := range []int{0, 3, 20, 1000, 5000, len(b) / 2, len(b) - 40} {
		if _, err := Load(b[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were accepted", n, len(b))
		}
	}
}

// FuzzLoad changes bytes of the header, which is what a reader can be led astray by.
func FuzzLoad(f *testing.F) {
	whole := Weights()
	f.Add(uint16(8), []byte{0xff, 0xff, 0xff, 0xff})                 // number of tensors
	f.Add(uint16(16), []byte{0xff, 0xff, 0xff, 0xff, 0xff})          // number of keys
	f.Add(uint16(24), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x7f}) // length of the first key
	f.Add(uint16(4), []byte{9})                                      // version
	f.Add(uint16(52), []byte{9})                                     // type of the first value: an array
	f.Add(uint16(6000), []byte{0, 0, 0, 0, 0, 0, 0, 0x80})           // somewhere in the tensors' descriptions
	f.Fuzz(func(t *testing.T, at uint16, change []byte) {
		b := append([]byte(nil), whole...)
		copy(b[min(int(at), len(b)):], change)
		if m, err := Load(b); err == nil && (m.dim < 1 || m.context < 1) {
			t.Errorf("a model of width %d and context %d was accepted", m.dim, m.context)
		}
	})
}
