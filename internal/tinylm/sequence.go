package tinylm

// sequence is a prompt and its answer so far, with the keys and values of the tokens that have been through the model. Keys lie as
// [layer][head][position/panel][headDim] panels of positions, values as [layer][head][headDim/panel][position] panels of dimensions:
// both are then matrices for the kernel.
type sequence struct {
	ids    []int
	done   int // tokens whose keys and values are stored
	room   int // number of positions that fit, a multiple of panel
	keys   []panelRow
	values []panelRow
}

// newSequence makes a sequence with room for the tokens and more after them.
func (m *Model) newSequence(ids []int, more int) *sequence {
	room := (min(len(ids)+more, m.context) + panel - 1) / panel * panel
	n := len(m.layers) * m.dim * room / panel
	return &sequence{ids: append([]int(nil), ids...), room: room, keys: make([]panelRow, n), values: make([]panelRow, n)}
}

// keysOf returns the keys of one head in one layer, as a matrix whose panels are positions.
func (s *sequence) keysOf(m *Model, layer, head int) []panelRow {
	n := s.room / panel * m.headDim
	return s.keys[(layer*m.heads+head)*n:][:n]
}

// valuesOf returns the values of one head in one layer, of the panel's dimensions.
func (s *sequence) valuesOf(m *Model, layer, head, p int) []panelRow {
	n := m.headDim / panel
	return s.values[((layer*m.heads+head)*n+p)*s.room:][:s.room]
}

// store keeps a token's key and value of one head in one layer.
func (s *sequence) store(m *Model, layer, head, pos int, key, value []float32) {
	ks := s.keysOf(m, layer, head)[pos/panel*m.headDim:]
	for j, k := range key {
		ks[j][pos%panel] = k
	}
	for p := range m.headDim / panel {
		s.valuesOf(m, layer, head, p)[pos] = panelRow(value[p*panel:])
	}
}

// shared returns how many tokens at the front of ids have keys and values in s.
func (s *sequence) shared(ids []int) int {
	n := min(s.done, len(ids))
	for i := range n {
		if s.ids[i] != ids[i] {
			return i
		}
	}
	return n
}

// adopt copies the keys and values of the first n tokens from another sequence that begins with the same tokens.
func (s *sequence) adopt(m *Model, from *sequence, n int) {
	whole := (n + panel - 1) / panel * m.headDim // positions past n in the last panel are written before they are read
	for l := range m.layers {
		for h := range m.heads {
			copy(s.keysOf(m, l, h)[:whole], from.keysOf(m, l, h))
			for p := range m.headDim / panel {
				copy(s.valuesOf(m, l, h, p)[:n], from.valuesOf(m, l, h, p))
			}
		}
	}
	s.done = n
}
