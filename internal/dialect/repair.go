package dialect

import (
	"bytes"
	"unicode/utf8"
)

// parseAnswer parses JSON that a model server wrote, and repairs it if needed. Python and C++
// servers write JSON that is invalid but that many parsers accept: half an emoji at a cut by
// max_tokens, a byte order mark, NaN. A retry would not help, since the same request would
// bring the same answer.
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

// repaired returns b with these repairs: invalid UTF-8 and single halves of surrogate pairs in
// strings become U+FFFD, NaN and Infinity become null, control characters in strings become
// escapes, and a byte order mark is removed. Other errors stay.
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

// numberless returns the length of the NaN or Infinity at the start of b, or 0 if there is
// none.
func numberless(b []byte) int {
	for _, word := range [...]string{"NaN", "-NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(b, []byte(word)) {
			return len(word)
		}
	}
	return 0
}

// repairedString appends to out the repaired string that begins at b[i], and returns the
// position after it.
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
				for i++; i < len(b) && b[i]&0xc0 == 0x80; i++ { // skip the rest of the same character
				}
				continue
			}
			out, i = append(out, b[i:i+n]...), i+n
		}
	}
	return out, i
}

// escaped returns the length of the escape at the start of b. A surrogate pair of two escapes
// counts as one. half is true if the escape is one half of a pair without the other.
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

// codeUnit reads the escape \uXXXX at the start of b.
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

// cutObject returns the complete part of a JSON object whose end is missing. It keeps the
// members before the cut, nested ones too, and closes open objects and arrays. The value at the
// cut is left out if it is a string that is not closed, or a number or word, which may be
// incomplete. If nothing is complete, the result is {}.
func cutObject(s []byte) value {
	s = repaired(s)
	var open []byte    // closing brackets that are still due
	var closers []byte // the same at end
	end := 0           // s[:end] with closers is complete JSON
	mark := func(at int) { end, closers = at, append(closers[:0], open...) }
	isValue := false // the next string is a value, not a member's name
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
			open = append(open, c+2) // '}' or ']'
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

// closed reports whether s, which begins with a quote, ends with its closing quote.
func closed(s []byte) bool {
	back := len(s) - 1
	for back > 0 && s[back-1] == '\\' {
		back--
	}
	return len(s) > 1 && s[len(s)-1] == '"' && (len(s)-1-back)%2 == 0
}
