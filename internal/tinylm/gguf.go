package tinylm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// gguf is the parts of a GGUF file that the model needs: its metadata, and the place of each tensor.
type gguf struct {
	data    []byte
	meta    map[string]any // values are int, float64 or string; for an array its length
	tensors map[string]tensorInfo
	base    int // start of the tensors' offsets
}

// tensorInfo is the type, size and place of a tensor.
type tensorInfo struct {
	kind   uint32
	n      int // elements
	offset int
}

// GGUF: the tensor types that are read.
const (
	kindF32 = 0
	kindF16 = 1
	kindQ8  = 8
)

const (
	tensorAlign = 32      // bytes; GGUF's default, general.alignment is not read
	blockQ8     = 32      // values that share a scale
	maxElements = 1 << 26 // elements of one tensor: bounds what a damaged file can make us allocate
	maxEntries  = 1 << 16 // metadata keys, tensors
	maxNesting  = 4       // arrays in arrays
)

// cursor reads little-endian values one after another. It panics with an error past the end; Load turns that into its own error.
type cursor struct {
	b []byte
	p int
}

// take returns the next n bytes.
func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.b)-c.p {
		panic(errors.New("the file is truncated"))
	}
	c.p += n
	return c.b[c.p-n : c.p]
}

func (c *cursor) u16() uint16 { return binary.LittleEndian.Uint16(c.take(2)) }
func (c *cursor) u32() uint32 { return binary.LittleEndian.Uint32(c.take(4)) }
func (c *cursor) int() int    { return int(binary.LittleEndian.Uint64(c.take(8))) }
func (c *cursor) str() string { return string(c.take(c.int())) }

// count reads the number of elements that follow, which must be at most limit.
func (c *cursor) count(limit int) int {
	n := c.int()
	if n < 0 || n > limit {
		panic(fmt.Errorf("a count of %d is out of range", n))
	}
	return n
}

// value reads a metadata value of the given GGUF type.
func (c *cursor) value(kind uint32, depth int) any {
	switch kind {
	case 0, 1, 7: // int8, uint8, bool
		return int(c.take(1)[0])
	case 2, 3: // uint16, int16
		return int(c.u16())
	case 4, 5: // uint32, int32
		return int(c.u32())
	case 6: // float32
		return float64(math.Float32frombits(c.u32()))
	case 8:
		return c.str()
	case 9:
		return c.array(depth + 1)
	case 10, 11: // uint64, int64
		return c.int()
	case 12: // float64
		return math.Float64frombits(uint64(c.int()))
	}
	panic(fmt.Errorf("metadata has a value of unknown type %d", kind))
}

// array skips an array and returns its length.
func (c *cursor) array(depth int) int {
	if depth > maxNesting {
		panic(errors.New("metadata arrays are nested too deep"))
	}
	kind, n := c.u32(), c.count(len(c.b))
	for range n {
		c.value(kind, depth)
	}
	return n
}

// readGGUF reads the file's header. It panics with an error if the file is malformed.
func readGGUF(b []byte) *gguf {
	c := &cursor{b: b}
	if string(c.take(4)) != "GGUF" {
		panic(errors.New("not a GGUF file"))
	}
	if v := c.u32(); v != 2 && v != 3 {
		panic(fmt.Errorf("GGUF version %d is not supported", v))
	}
	tensors, keys := c.count(maxEntries), c.count(maxEntries)
	f := &gguf{data: b, meta: map[string]any{}, tensors: map[string]tensorInfo{}}
	for range keys {
		k := c.str()
		f.meta[k] = c.value(c.u32(), 0)
	}
	for range tensors {
		name := c.str()
		f.tensors[name] = c.tensorInfo()
	}
	f.base = (c.p + tensorAlign - 1) / tensorAlign * tensorAlign
	return f
}

// tensorInfo reads the description of a tensor.
func (c *cursor) tensorInfo() tensorInfo {
	t := tensorInfo{n: 1}
	for range c.u32() {
		d := c.count(maxElements)
		if t.n *= d; t.n > maxElements {
			panic(errors.New("a tensor is too large"))
		}
	}
	t.kind, t.offset = c.u32(), c.int()
	return t
}

// integer returns a metadata value that must be a positive number of reasonable size.
func (f *gguf) integer(key string) int {
	v, ok := f.meta[key].(int)
	if !ok || v < 1 || v > maxEntries {
		panic(fmt.Errorf("metadata key %s is missing or out of range", key))
	}
	return v
}

// real returns a metadata value that must be a positive floating-point number.
func (f *gguf) real(key string) float64 {
	v, ok := f.meta[key].(float64)
	if !ok || !(v > 0) {
		panic(fmt.Errorf("metadata key %s is missing or out of range", key))
	}
	return v
}

// tensor returns a tensor's values, which must be n in number.
func (f *gguf) tensor(name string, n int) []float32 {
	t, ok := f.tensors[name]
	if !ok {
		panic(fmt.Errorf("tensor %s is missing", name))
	}
	if t.n != n {
		panic(fmt.Errorf("tensor %s has %d values, not %d", name, t.n, n))
	}
	c := &cursor{b: f.data}
	c.take(f.base)
	c.take(t.offset)
	return c.floats(name, t)
}

// floats reads the values of a tensor and converts them to float32.
func (c *cursor) floats(name string, t tensorInfo) []float32 {
	w := make([]float32, t.n)
	switch t.kind {
	case kindF32:
		for i := range w {
			w[i] = math.Float32frombits(c.u32())
		}
	case kindF16:
		for i := range w {
			w[i] = half(c.u16())
		}
	case kindQ8:
		for i := 0; i+blockQ8 <= len(w); i += blockQ8 {
			scale := half(c.u16())
			for j, q := range c.take(blockQ8) {
				w[i+j] = scale * float32(int8(q))
			}
		}
	default:
		panic(fmt.Errorf("tensor %s has type %d: only f32, f16 and q8_0 are read", name, t.kind))
	}
	return w
}

// half widens an IEEE 754 half-precision number. The weights hold no infinities.
func half(h uint16) float32 {
	e, f := int(h>>10&31), float64(h&1023)
	v := float32(math.Ldexp(f, -24))
	if e > 0 {
		v = float32(math.Ldexp(1024+f, e-25))
	}
	if h>>15 == 1 {
		v = -v
	}
	return v
}
