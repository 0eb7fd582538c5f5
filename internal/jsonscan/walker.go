package jsonscan

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may nest.
const MaxDepth = 512

// A Walker passes over JSON values. Each of its methods takes the index where something starts and returns the index after
// it, or -1 when it is not well-formed. It does not look whether the texts are UTF-8, which [Walker.ASCII] answers for most; and it takes halves of
// surrogate pairs in escapes.
type Walker struct {
	high    uint64 // the bits of every text seen, together: whether any byte was beyond ASCII
	escaped bool   // the last text had a backslash
	coded   bool   // some text had an escape of the form \u
}

// ASCII tells whether every text so far had no bytes but those of ASCII.
func (w *Walker) ASCII() bool { return w.high&highBits == 0 }

// Escaped tells whether the last text had a backslash in it.
func (w *Walker) Escaped() bool { return w.escaped }

// Sure tells whether b is surely one JSON value in UTF-8, with nothing but white space around it. That it is not sure may
// have other reasons: an escape that may be half of a surrogate pair, a line break between two values, or a depth of more than MaxDepth.
func Sure(b []byte) bool {
	var w Walker
	end := w.Value(b, Space(b, 0), 0)
	return end >= 0 && Space(b, end) == len(b) && !w.coded && (w.ASCII() || utf8.Valid(b))
}

// Value passes over the value at i inside depth containers.
func (w *Walker) Value(b []byte, i, depth int) int {
	switch c := At(b, i); {
	case c == '"':
		return w.Text(b, i+1)
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
func (w *Walker) object(b []byte, i, depth int) int {
	if depth > MaxDepth {
		return -1
	}
	if i = Space(b, i+1); At(b, i) == '}' {
		return i + 1
	}
	for {
		if At(b, i) != '"' {
			return -1
		}
		if i = w.Text(b, i+1); i < 0 {
			return -1
		}
		if i = Space(b, i); At(b, i) != ':' {
			return -1
		}
		if i = w.Value(b, Space(b, i+1), depth); i < 0 {
			return -1
		}
		i = Space(b, i)
		switch At(b, i) {
		case '}':
			return i + 1
		case ',':
			i = Space(b, i+1)
		default:
			return -1
		}
	}
}

// array passes over an array.
func (w *Walker) array(b []byte, i, depth int) int {
	if depth > MaxDepth {
		return -1
	}
	if i = Space(b, i+1); At(b, i) == ']' {
		return i + 1
	}
	for {
		if i = w.Value(b, i, depth); i < 0 {
			return -1
		}
		i = Space(b, i)
		switch At(b, i) {
		case ']':
			return i + 1
		case ',':
			i = Space(b, i+1)
		default:
			return -1
		}
	}
}

const (
	ones     = 0x0101010101010101
	highBits = 0x8080808080808080
)

// special has the high bit set of each byte of x that is a quote, a backslash or a control character. A borrow may set further ones above
// the first, so only the first counts.
func special(x uint64) uint64 {
	q, s := x^ones*'"', x^ones*'\\'
	return ((q-ones)&^q | (s-ones)&^s | (x-ones*' ')&^x) & highBits
}

// plain passes over what is nothing special; it may stop before the end of that.
func (w *Walker) plain(b []byte, i int) int {
	for i+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[i:])
		w.high |= x
		if m := special(x); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
		for i += 8; i+32 <= len(b); i += 32 {
			part := b[i : i+32 : i+32]
			x0, x1 := binary.LittleEndian.Uint64(part), binary.LittleEndian.Uint64(part[8:])
			x2, x3 := binary.LittleEndian.Uint64(part[16:]), binary.LittleEndian.Uint64(part[24:])
			m0, m1, m2, m3 := special(x0), special(x1), special(x2), special(x3)
			w.high |= x0 | x1 | x2 | x3
			switch {
			case m0|m1|m2|m3 == 0:
				continue
			case m0 != 0:
				return i + bits.TrailingZeros64(m0)>>3
			case m1 != 0:
				return i + 8 + bits.TrailingZeros64(m1)>>3
			case m2 != 0:
				return i + 16 + bits.TrailingZeros64(m2)>>3
			}
			return i + 24 + bits.TrailingZeros64(m3)>>3
		}
	}
	return i
}

// Text passes over a string; i is the index after its opening quote. Eight bytes are looked at together, and four times eight where the
// first eight are nothing special: escapes come in crowds.
func (w *Walker) Text(b []byte, i int) int {
	w.escaped = false
	for {
		i = w.plain(b, i)
		c := At(b, i)
		switch {
		case c == '"':
			return i + 1
		case c == '\\':
			w.escaped = true
			w.coded = w.coded || At(b, i+1) == 'u'
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
	switch At(b, i) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		for k := 1; k <= 4; k++ {
			if !isHex(At(b, i+k)) {
				return -1
			}
		}
		return i + 5
	}
	return -1
}

// number passes over a number as RFC 8259 writes it: no leading zero, no bare point. Its size does not matter.
func number(b []byte, i int) int {
	if At(b, i) == '-' {
		i++
	}
	switch c := At(b, i); {
	case c == '0':
		i++
	case isDigit(c):
		i = digits(b, i)
	default:
		return -1
	}
	if At(b, i) == '.' {
		if i = digits(b, i+1); i < 0 {
			return -1
		}
	}
	if c := At(b, i); c == 'e' || c == 'E' {
		i++
		if s := At(b, i); s == '+' || s == '-' {
			i++
		}
		return digits(b, i)
	}
	return i
}

// digits passes over one digit or more.
func digits(b []byte, i int) int {
	start := i
	for isDigit(At(b, i)) {
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

// Space passes over white space, if there is any. A negative i stays negative.
func Space(b []byte, i int) int {
	for i >= 0 && i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// At is the byte at i, or 0 where there is none. A line that holds a 0 byte is wrong wherever it stands.
func At(b []byte, i int) byte {
	if uint(i) < uint(len(b)) {
		return b[i]
	}
	return 0
}

func isDigit(c byte) bool { return c-'0' <= 9 }

func isHex(c byte) bool { return isDigit(c) || c|0x20-'a' <= 5 }
