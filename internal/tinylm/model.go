package tinylm

import (
	"errors"
	"fmt"
	"math"
)

// Model holds the weights. It is read-only after Load, and many goroutines may use it.
type Model struct {
	context int // greatest length of prompt and answer together, in tokens
	dim     int // width of a row between the layers
	heads   int
	headDim int
	hidden  int // width inside a feed-forward block
	vocab   int

	embed    []float32
	layers   []layer
	normOut  []float32
	head     []panelRow
	cos, sin []float32 // [position][headDim/2]
}

// layer holds one block's weights. Gate and up are one matrix, and so are queries, keys and values.
type layer struct {
	normIn, normMid        []float32
	qkv, out, gateUp, down []panelRow
}

// Context is the greatest length of a prompt and its answer together, in tokens. A token is a byte.
func (m *Model) Context() int { return m.context }

// Dim is the length of an embedding.
func (m *Model) Dim() int { return m.dim }

// Load reads a llama-architecture GGUF file with f32, f16 or q8_0 tensors and as many key heads as query heads.
func Load(b []byte) (m *Model, err error) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case error: // an error of the reader, or a runtime error: in both cases the file cannot be read
			m, err = nil, fmt.Errorf("load model: %w", e)
		default:
			panic(e)
		}
	}()
	f := readGGUF(b)
	m = &Model{
		context: f.integer("llama.context_length"),
		dim:     f.integer("llama.embedding_length"),
		heads:   f.integer("llama.attention.head_count"),
		hidden:  f.integer("llama.feed_forward_length"),
		vocab:   f.integer("llama.vocab_size"),
	}
	if err := m.check(f); err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	m.read(f)
	m.turns(f.real("llama.rope.freq_base"))
	return m, nil
}

// check returns an error for shapes that the kernels do not support.
func (m *Model) check(f *gguf) error {
	m.headDim = m.dim / m.heads
	switch {
	case f.integer("llama.attention.head_count_kv") != m.heads:
		return errors.New("grouped key heads are not supported")
	case m.headDim*m.heads != m.dim || m.headDim%panel != 0 || m.hidden%panel != 0:
		return fmt.Errorf("width %d, %d heads and feed-forward %d do not fit panels of %d", m.dim, m.heads, m.hidden, panel)
	case m.vocab <= Assistant:
		return fmt.Errorf("a vocabulary of %d has no room for the chat template's tokens", m.vocab)
	case m.context*m.headDim > maxElements:
		return fmt.Errorf("a context of %d is too long", m.context)
	}
	return nil
}

// read reads the tensors.
func (m *Model) read(f *gguf) {
	d, h := m.dim, m.hidden
	m.embed = f.tensor("token_embd.weight", m.vocab*d)
	m.normOut = f.tensor("output_norm.weight", d)
	m.head = pack(f.tensor("output.weight", m.vocab*d), d)
	for i := range f.integer("llama.block_count") {
		t := func(name string, n int) []float32 { return f.tensor(fmt.Sprintf("blk.%d.%s.weight", i, name), n) }
		m.layers = append(m.layers, layer{
			normIn:  t("attn_norm", d),
			normMid: t("ffn_norm", d),
			qkv:     pack(append(append(t("attn_q", d*d), t("attn_k", d*d)...), t("attn_v", d*d)...), d),
			out:     pack(t("attn_output", d*d), d),
			gateUp:  pack(append(t("ffn_gate", h*d), t("ffn_up", h*d)...), d),
			down:    pack(t("ffn_down", d*h), h),
		})
	}
}

// turns computes the table of the rotary position embedding: angle = position / base^(i / headDim).
func (m *Model) turns(base float64) {
	for p := range m.context {
		for i := 0; i < m.headDim; i += 2 {
			s, c := math.Sincos(float64(p) / math.Pow(base, float64(i)/float64(m.headDim)))
			m.cos, m.sin = append(m.cos, float32(c)), append(m.sin, float32(s))
		}
	}
}
