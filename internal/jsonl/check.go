package jsonl

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// MaxDepth is how deep the arrays and objects of a line may nest, the line's own object included.
const MaxDepth = 512

// A span is a range of bytes of a line. The zero span means absent: no value starts at column 0 of an object.
type span struct{ from, to int }

func (s span) absent() bool          { return s.to == 0 }
func (s span) of(line []byte) []byte { return line[s.from:s.to] }

// members are the ranges of the two members that matter.
type members struct {
	id    span // the value of recordId with its quotes; absent when there is none
	input span // the value of modelInput with its braces
}

// check accepts a well-formed line and finds its members. It says no, without a reason, to every line that is wrong and to
// the few right ones that are not worth its while (escapes in a top-level name, \u in an id); examine decides on those.
// It allocates nothing.
func check(line []byte) (m members, ok bool) {
	var w walker
	i := space(line, 0)
	if at(line, i) != '{' {
		return m, false
	}
	for {
		i = space(line, i+1)
		name := i
		if at(line, i) != '"' {
			return m, false // an empty object too: it has no modelInput
		}
		if i = w.text(line, i+1); i < 0 || w.escaped {
			return m, false
		}
		key := line[name+1 : i-1]
		if i = space(line, i); at(line, i) != ':' {
			return m, false
		}
		if i = w.member(line, key, space(line, i+1), &m); i < 0 {
			return m, false
		}
		i = space(line, i)
		if c := at(line, i); c == '}' {
			break
		} else if c != ',' {
			return m, false
		}
	}
	if space(line, i+1) != len(line) || m.input.absent() {
		return m, false
	}
	return m, w.high&highBits == 0 || utf8.Valid(line)
}

// member passes over the value at i and notes where it lies when its name is one of ours.
// It returns the index after the value, or -1.
func (w *walker) member(line []byte, key []byte, i int, m *members) int {
	switch string(key) {
	case "recordId":
		if !m.id.absent() || at(line, i) != '"' {
			return -1
		}
		end := w.text(line, i+1)
		if w.escaped && bytes.Contains(line[i:max(i, end)], []byte(`\u`)) {
			return -1 // perhaps half of a surrogate pair, which an id must not have
		}
		m.id = span{i, end}
		return end
	case "modelInput":
		if !m.input.absent() || at(line, i) != '{' {
			return -1
		}
		end := w.value(line, i, 1)
		m.input = span{i, end}
		return end
	}
	return w.value(line, i, 1)
}

// A walker passes over JSON values. Each of its methods takes the index where something starts and returns the index after
// it, or -1 when it is not well-formed.
type walker struct {
	high    uint64 // the bits of every text seen, together: whether any byte was beyond ASCII
	escaped bool   // the last text had a backslash
}

// value passes over the value at i inside depth containers.
func (w *walker) value(b []byte, i, depth int) int {
	switch c := at(b, i); {
	case c == '"':
		return w.text(b, i+1)
	case c == '{':
		return w.object(b, i, depth+1)
	case c == '[':
		return w.array(b, i, depth+1)
	case c == '-' || isDigit(c):
		return number(b, i)
	case c == 't':
		return literal(b, i, "true")
	case c == 'f':
		return literal(b, i, "false")
	case c == 'n':
		return literal(b, i, "null")
	}
	return -1
}

// object passes over an object. Names may repeat: what a name means twice is for the model to say.
func (w *walker) object(b []byte, i, depth int) int {
	if depth > MaxDepth {
		return -1
	}
	if i = space(b, i+1); at(b, i) == '}' {
		return i + 1
	}
	for {
		if at(b, i) != '"' {
			return -1
		}
		if i = w.text(b, i+1); i < 0 {
			return -1
		}
		if i = space(b, i); at(b, i) != ':' {
			return -1
		}
		if i = w.value(b, space(b, i+1), depth); i < 0 {
			return -1
		}
		i = space(b, i)
		switch at(b, i) {
		case '}':
			return i + 1
		case ',':
			i = space(b, i+1)
		default:
			return -1
		}
	}
}

// array passes over an array.
func (w *walker) array(b []byte, i, depth int) int {
	if depth > MaxDepth {
		return -1
	}
	if i = space(b, i+1); at(b, i) == ']' {
		return i + 1
	}
	for {
		if i = w.value(b, i, depth); i < 0 {
			return -1
		}
		i = space(b, i)
		switch at(b, i) {
		case ']':
			return i + 1
		case ',':
			i = space(b, i+1)
		default:
			return -1
		}
	}
}

const (
	ones     = 0x0101010101010101
	highBits = 0x8080808080808080
)

// text passes over a string; i is the index after its opening quote. Eight bytes are looked at together: in m the high bit
// of each byte that is a quote, a backslash or a control character is set. A borrow may set further ones above the first,
// so only the first counts.
func (w *walker) text(b []byte, i int) int {
	w.escaped = false
	for {
		for i+8 <= len(b) {
			x := binary.LittleEndian.Uint64(b[i:])
			w.high |= x
			q, s := x^ones*'"', x^ones*'\\'
			m := ((q-ones)&^q | (s-ones)&^s | (x-ones*' ')&^x) & highBits
			if m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		c := at(b, i)
		switch {
		case c == '"':
			return i + 1
		case c == '\\':
			w.escaped = true
			if i = escape(b, i+1); i < 0 {
				return -1
			}
		case c < ' ': // the end of the line too
			return -1
		default:
			w.high |= uint64(c)
			i++
		}
	}
}

// escape passes over what follows a backslash. Halves of surrogate pairs are let through: what a model makes of them is
// not a question of the line's form.
func escape(b []byte, i int) int {
	switch at(b, i) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		for k := 1; k <= 4; k++ {
			if !isHex(at(b, i+k)) {
				return -1
			}
		}
		return i + 5
	}
	return -1
}

// number passes over a number as RFC 8259 writes it: no leading zero, no bare point. Its size does not matter.
func number(b []byte, i int) int {
	if at(b, i) == '-' {
		i++
	}
	switch c := at(b, i); {
	case c == '0':
		i++
	case isDigit(c):
		i = digits(b, i)
	default:
		return -1
	}
	if at(b, i) == '.' {
		if i = digits(b, i+1); i < 0 {
			return -1
		}
	}
	if c := at(b, i); c == 'e' || c == 'E' {
		i++
		if s := at(b, i); s == '+' || s == '-' {
			i++
		}
		return digits(b, i)
	}
	return i
}

// digits passes over one digit or more.
func digits(b []byte, i int) int {
	start := i
	for isDigit(at(b, i)) {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

// literal passes over true, false or null.
func literal(b []byte, i int, word string) int {
	if len(b)-i >= len(word) && string(b[i:i+len(word)]) == word {
		return i + len(word)
	}
	return -1
}

// space passes over white space, if there is any. A negative i stays negative.
func space(b []byte, i int) int {
	for i >= 0 && i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// at is the byte at i, or 0 where there is none. A line that holds a 0 byte is wrong wherever it stands.
func at(b []byte, i int) byte {
	if uint(i) < uint(len(b)) {
		return b[i]
	}
	return 0
}

func isDigit(c byte) bool { return c-'0' <= 9 }

func isHex(c byte) bool { return isDigit(c) || c|0x20-'a' <= 5 }
