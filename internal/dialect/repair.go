package dialect

import (
	"bytes"
	"unicode/utf8"
)

// parseAnswer is parse for what a server wrote. Python and C++ servers write what is no JSON by the standard and read by all: half an emoji
// where max_tokens cut it, a byte order mark, NaN. That is mended, since the same request would bring it again.
func parseAnswer(b []byte) (value, error) {
	doc, err := parse(b)
	if err == nil {
		return doc, nil
	}
	doc, again := parse(repaired(b))
	if again != nil {
		return nil, err
	}
	return doc, nil
}

// repaired is b with U+FFFD for bytes that are no UTF-8 and for halves of surrogate pairs, null for NaN and Infinity, escapes for control
// characters in strings, and without a byte order mark. What else is wrong stays.
func repaired(b []byte) []byte {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	out := make([]byte, 0, len(b)+16)
	for i := 0; i < len(b); {
		if b[i] == '"' {
			out, i = repairedString(out, b, i)
			continue
		}
		if n := numberless(b[i:]); n > 0 {
			out, i = append(out, "null"...), i+n
			continue
		}
		out, i = append(out, b[i]), i+1
	}
	return out
}

// numberless is the length of a NaN or an infinity that b begins with, 0 if there is none.
func numberless(b []byte) int {
	for _, word := range [...]string{"NaN", "-NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(b, []byte(word)) {
			return len(word)
		}
	}
	return 0
}

// repairedString appends the string that begins at b[i], mended, and returns the position after it.
func repairedString(out, b []byte, i int) ([]byte, int) {
	const replacement = "\xef\xbf\xbd"
	out = append(out, '"')
	for i++; i < len(b); {
		c := b[i]
		switch {
		case c == '"':
			return append(out, '"'), i + 1
		case c < ' ':
			const hex = "0123456789abcdef"
			out, i = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15]), i+1
		case c == '\\':
			n, half := escaped(b[i:])
			if half {
				out = append(out, replacement...)
			} else {
				out = append(out, b[i:i+n]...)
			}
			i += n
		case c < utf8.RuneSelf:
			out, i = append(out, c), i+1
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				out = append(out, replacement...)
				for i++; i < len(b) && b[i]&0xc0 == 0x80; i++ { // the rest of the same character
				}
				continue
			}
			out, i = append(out, b[i:i+n]...), i+n
		}
	}
	return out, i
}

// escaped is the length of the escape that b begins with, a whole surrogate pair for one. half tells that it is one half of a pair.
func escaped(b []byte) (n int, half bool) {
	r, ok := codeUnit(b)
	switch {
	case !ok:
		return min(2, len(b)), false
	case r >= 0xd800 && r < 0xdc00:
		if low, ok := codeUnit(b[6:]); ok && low >= 0xdc00 && low < 0xe000 {
			return 12, false
		}
		return 6, true
	case r >= 0xdc00 && r < 0xe000:
		return 6, true
	}
	return 6, false
}

// codeUnit reads an escape of the form \u0000.
func codeUnit(b []byte) (r rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// cutObject is what is whole of a JSON object whose end is missing: its members up to the cut, nested ones too. A string or a number that the cut
// went through is left out. It is {} when nothing is whole.
func cutObject(s []byte) value {
	s = repaired(s)
	var open, closers []byte // brackets that are open, and those that were at the last mark
	end := 0
	mark := func(at int) { end, closers = at, append(closers[:0], open...) }
	isValue := false // a string that comes now is a value, not a name
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			after := skipString(value(s), i)
			if !closed(s[i:after]) {
				i = len(s)
				break
			}
			if i = after - 1; isValue {
				mark(after)
			}
		case '{', '[':
			open = append(open, c+2) // the closing one
			mark(i + 1)
			isValue = c == '['
		case '}', ']':
			if len(open) == 0 || open[len(open)-1] != c {
				return value("{}")
			}
			open = open[:len(open)-1]
			mark(i + 1)
		case ',':
			mark(i)
			isValue = len(open) > 0 && open[len(open)-1] == ']'
		case ':':
			isValue = true
		}
	}
	whole := append([]byte(nil), s[:end]...)
	for i := len(closers) - 1; i >= 0; i-- {
		whole = append(whole, closers[i])
	}
	v, err := parse(whole)
	if err != nil || v.kind() != '{' {
		return value("{}")
	}
	return v
}

// closed tells whether a string has its closing quote.
func closed(s []byte) bool {
	back := len(s) - 1
	for back > 0 && s[back-1] == '\\' {
		back--
	}
	return len(s) > 1 && s[len(s)-1] == '"' && (len(s)-1-back)%2 == 0
}
