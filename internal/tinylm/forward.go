package tinylm

import "math"

// row is one token of a step: a position of a sequence whose earlier positions are stored, or are rows before it in the same step.
type row struct {
	s   *sequence
	pos int
}

// scratch holds a step's intermediate rows, reused from step to step. It belongs to one worker.
type scratch struct {
	x, h, qkv, wide, act, scores, logits []float32
}

// grown returns a slice of n numbers with undefined content, from a buffer that it keeps for the next call.
func grown(b *[]float32, n int) []float32 {
	if cap(*b) < n {
		*b = make([]float32, n+n/4)
	}
	return (*b)[:n]
}

// forward runs rows through the layers and stores their keys and values. It returns the rows after the last layer.
func (m *Model) forward(b *scratch, rows []row) []float32 {
	n, d := len(rows), m.dim
	x, h := grown(&b.x, n*d), grown(&b.h, n*d)
	qkv, wide, act := grown(&b.qkv, n*3*d), grown(&b.wide, n*2*m.hidden), grown(&b.act, n*m.hidden)
	for i, r := range rows {
		copy(x[i*d:(i+1)*d], m.embed[r.s.ids[r.pos]*d:])
	}
	for li := range m.layers {
		l := &m.layers[li]
		m.normRows(h, x, l.normIn, n)
		matmul(qkv, h, l.qkv, n, d)
		m.remember(rows, qkv, li)
		m.attend(b, rows, qkv, h, li)
		matmul(qkv, h, l.out, n, d) // qkv is free again: its front is used for the sum
		add(x, qkv[:n*d])

		m.normRows(h, x, l.normMid, n)
		matmul(wide, h, l.gateUp, n, d)
		for i := range n {
			gu := wide[i*2*m.hidden:]
			gate(act[i*m.hidden:], gu[:m.hidden], gu[m.hidden:])
		}
		matmul(qkv, act, l.down, n, m.hidden)
		add(x, qkv[:n*d])
	}
	return x
}

// normRows normalises n rows.
func (m *Model) normRows(o, x, w []float32, n int) {
	d := m.dim
	for i := range n {
		norm(o[i*d:(i+1)*d], x[i*d:(i+1)*d], w)
	}
}

// remember applies the rotary position embedding to queries and keys, and stores keys and values.
func (m *Model) remember(rows []row, qkv []float32, layer int) {
	d, hd := m.dim, m.headDim
	for i, r := range rows {
		q := qkv[i*3*d : (i+1)*3*d]
		for a := range m.heads {
			key := q[d+a*hd : d+(a+1)*hd]
			m.rope(q[a*hd:(a+1)*hd], r.pos)
			m.rope(key, r.pos)
			r.s.store(m, layer, a, r.pos, key, q[2*d+a*hd:2*d+(a+1)*hd])
		}
	}
}

// attend computes causal attention for each row and head:
//
//	o = Σ over positions p ≤ pos of softmax(query · key(p) / √headDim) × value(p)
func (m *Model) attend(b *scratch, rows []row, qkv, o []float32, layer int) {
	d, hd := m.dim, m.headDim
	scale := float32(1 / math.Sqrt(float64(hd)))
	scores := grown(&b.scores, m.context+panel)
	for i, r := range rows {
		t := r.pos + 1
		for a := range m.heads {
			query, keys := qkv[i*3*d+a*hd:][:hd], r.s.keysOf(m, layer, a)
			for p := 0; p < t; p += panel { // scores beyond t are not used
				product((*panelRow)(scores[p:]), keys[p*hd/panel:][:hd], query)
			}
			softmax(scores[:t], scale)
			for p := range hd / panel {
				product((*panelRow)(o[i*d+a*hd+p*panel:]), r.s.valuesOf(m, layer, a, p)[:t], scores[:t])
			}
		}
	}
}

// logits returns the scores of all tokens after each of the wanted rows of x.
func (m *Model) logits(b *scratch, x []float32, want []int) [][]float32 {
	d, width := m.dim, len(m.head)/m.dim*panel
	h, y := grown(&b.h, len(want)*d), grown(&b.logits, len(want)*width)
	for i, r := range want {
		norm(h[i*d:(i+1)*d], x[r*d:(r+1)*d], m.normOut)
	}
	matmul(y, h, m.head, len(want), d)
	out := make([][]float32, len(want))
	for i := range out {
		out[i] = y[i*width:][:m.vocab]
	}
	return out
}
