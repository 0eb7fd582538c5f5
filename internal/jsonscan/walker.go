package jsonscan

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// MaxDepth is the maximum nesting depth of arrays and objects.
const MaxDepth = 512

// A Walker skips JSON values. Each method takes the index where something starts and returns
// the index after it, or -1 if it is not well-formed. It does not check UTF-8; [Walker.ASCII]
// makes that check unnecessary for most input. It accepts escapes of lone surrogates, such as
// \ud800.
type Walker struct {
	high    uint64 // OR of all string bytes so far, to find bytes above 0x7f
	escaped bool   // the last string contains a backslash
	coded   bool   // some string contains a \u escape
}

// ASCII reports whether all strings so far are pure ASCII.
func (w *Walker) ASCII() bool { return w.high&highBits == 0 }

// Escaped reports whether the last string contains a backslash.
func (w *Walker) Escaped() bool { return w.escaped }

// Sure reports whether b is certainly one JSON value in valid UTF-8, with only white space
// around it. false means "not sure": the reason may also be a \u escape, a line break between
// tokens, or a depth above MaxDepth.
func Sure(b []byte) bool {
	var w Walker
	end := w.Value(b, Space(b, 0), 0)
	return end >= 0 && Space(b, end) == len(b) && !w.coded && (w.ASCII() || utf8.Valid(b))
}

// Value skips the value at i. depth is the number of containers around it.
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

// object skips an object. Duplicate names are allowed: their meaning is up to the model.
func (w *Walker) object(b []byte, i, depth int) int {
	if depth > MaxDepth {
		return -1
	}
	if i = Space(b, i+1); At(b, i) == '}' { // the empty object
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

// array skips an array.
func (w *Walker) array(b []byte, i, depth int) int {
	if depth > MaxDepth {
		return -1
	}
	if i = Space(b, i+1); At(b, i) == ']' { // the empty array
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

// Constants for eight bytes at a time (SWAR): 0x01 and 0x80 in every byte.
const (
	ones     = 0x0101010101010101
	highBits = 0x8080808080808080
)

// special sets the high bit of each byte of x that is a quote, a backslash or a control
// character. Borrows may set further bits above the first one, so only the lowest set bit is
// valid.
func special(x uint64) uint64 {
	q, s := x^ones*'"', x^ones*'\\'
	return ((q-ones)&^q | (s-ones)&^s | (x-ones*' ')&^x) & highBits
}

// plain skips ordinary characters of a string and returns an index at or before the first
// special one. It reads 8 bytes at a time, then 32.
func (w *Walker) plain(b []byte, i int) int {
	// One word of 8 bytes, then 4 words at a time while nothing special is found.
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

// Text skips a string; i is the index after the opening quote. It looks at 8 bytes together
// first, and at 32 only after 8 ordinary ones, because escapes often come in groups.
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
		case c < ' ': // also At's 0 at the end of the input
			return -1
		default:
			w.high |= uint64(c)
			i++
		}
	}
}

// escape skips the characters after a backslash. Lone surrogates are accepted: the form of the
// line is valid, and the model decides about the text.
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

// number passes over a number as RFC 8259 writes it: no leading zero, no bare point. Its size
// does not matter.
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

// digits skips one or more digits.
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

// literal skips the word true, false or null.
func literal(b []byte, i int, word string) int {
	if len(b)-i >= len(word) && string(b[i:i+len(word)]) == word {
		return i + len(word)
	}
	return -1
}

// Space skips blanks, tabs and carriage returns, but not newlines. A negative i stays negative,
// so calls can be chained.
func Space(b []byte, i int) int {
	for i >= 0 && i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// At returns the byte at i, or 0 beyond the end. No JSON token contains a 0 byte, so 0 never
// matches.
func At(b []byte, i int) byte {
	if uint(i) < uint(len(b)) {
		return b[i]
	}
	return 0
}

// isDigit relies on the wrap-around of byte arithmetic.
func isDigit(c byte) bool { return c-'0' <= 9 }

func isHex(c byte) bool { return isDigit(c) || c|0x20-'a' <= 5 }
