package tinylm

import "math"

// In all sums each product is converted to float32 before it is added. Then Go may not fuse the two operations, and every processor
// gives the same result.

// panel is the number of outputs that one call of the kernel computes: as many sums as fit into registers.
const panel = 8

// panelRow holds the weights of one input for the outputs of a panel. A matrix is stored panel by panel, each with one
// panelRow per input, so that the kernel reads memory in order.
type panelRow [panel]float32

// pack converts a matrix, whose rows have n inputs, into panels. The last panel is filled with zeros.
func pack(w []float32, n int) []panelRow {
	rows := len(w) / n
	p := make([]panelRow, (rows+panel-1)/panel*n)
	for r := range rows {
		for k := range n {
			p[r/panel*n+k][r%panel] = w[r*n+k]
		}
	}
	return p
}

// product sets y to the panel's sums over x. Nearly all of the model's time is spent here. The race detector skips it, since it would be
// twenty times as slow; it writes only y, and its callers are checked.
//
//go:norace
func product(y *panelRow, w []panelRow, x []float32) {
	var a, b, c, d, e, f, g, h float32
	w = w[:len(x)] // the compiler then knows that w[k] is in range
	for k, v := range x {
		q := &w[k]
		a += float32(q[0] * v)
		b += float32(q[1] * v)
		c += float32(q[2] * v)
		d += float32(q[3] * v)
		e += float32(q[4] * v)
		f += float32(q[5] * v)
		g += float32(q[6] * v)
		h += float32(q[7] * v)
	}
	*y = panelRow{a, b, c, d, e, f, g, h}
}

// matmul multiplies n rows of x, each of width in, with w. A row of y has the width of w's outputs, in whole panels.
// Panels are the outer loop, so that a panel stays in the L1 cache while all rows are multiplied.
func matmul(y, x []float32, w []panelRow, n, in int) {
	width := len(w) / in * panel
	for p := 0; p*in < len(w); p++ {
		wp := w[p*in : (p+1)*in]
		for r := range n {
			product((*panelRow)(y[r*width+p*panel:]), wp, x[r*in:(r+1)*in])
		}
	}
}

const normEpsilon = 1e-5 // llama.attention.layer_norm_rms_epsilon of the model

// norm is RMSNorm: o = x / √(mean(x²) + ε) × w.
func norm(o, x, w []float32) {
	var s float32
	for _, v := range x {
		s += float32(v * v)
	}
	f := 1 / float32(math.Sqrt(float64(s/float32(len(x))+normEpsilon)))
	for i, v := range x {
		o[i] = v * f * w[i]
	}
}

// add adds y to x.
func add(x, y []float32) {
	for i, v := range y {
		x[i] += v
	}
}

// rope applies the rotary position embedding: it rotates neighbouring pairs of a head's query or key by the angles of its position.
func (m *Model) rope(x []float32, pos int) {
	n := m.headDim / 2
	c, s := m.cos[pos*n:(pos+1)*n], m.sin[pos*n:(pos+1)*n]
	for i := range n {
		a, b := x[2*i], x[2*i+1]
		x[2*i] = float32(a*c[i]) - float32(b*s[i])
		x[2*i+1] = float32(a*s[i]) + float32(b*c[i])
	}
}

// softmax replaces x by softmax(x × scale).
func softmax(x []float32, scale float32) {
	top := x[0]
	for _, v := range x {
		top = max(top, v)
	}
	var sum float32
	for i, v := range x {
		x[i] = exp((v - top) * scale)
		sum += x[i]
	}
	share := 1 / sum
	for i := range x {
		x[i] *= share
	}
}

// gate sets o to silu(g) × u, with silu(g) = g / (1 + e^-g).
func gate(o, g, u []float32) {
	for i, v := range g {
		o[i] = v / (1 + exp(-v)) * u[i]
	}
}

// exp is e to the power of x, to about seven digits: a power of two times a polynomial. The standard library's works in float64
// and differs between processors.
func exp(x float32) float32 {
	x = float32(min(max(x, -87), 88) * math.Log2E)
	k := float32(int32(x+128.5)) - 128 // the nearest whole number: the argument of int32 is positive
	f := (x - k) * math.Ln2
	p := float32(f*(1./720)) + 1./120
	p = float32(f*p) + 1./24
	p = float32(f*p) + 1./6
	p = float32(f*p) + 1./2
	p = float32(f*p) + 1
	p = float32(f*p) + 1
	return p * math.Float32frombits(uint32(int32(k)+127)<<23)
}
