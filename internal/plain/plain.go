package plain

import (
	"fmt"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Line returns s as a single line. Characters that would control the terminal, end the line or
// be invisible are escaped.
func Line(s string) string {
	if harmless(s, false) {
		return s
	}
	return string(appendShown(make([]byte, 0, len(s)+16), s, false))
}

// harmless is the fast path: it reports whether s consists of printable ASCII only. With lines,
// newlines and tabs count as printable.
func harmless[T string | []byte](s T, lines bool) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && !(lines && (c == '\n' || c == '\t')) || c >= 0x7f {
			return false
		}
	}
	return true
}

// appendShown appends s to dst with escapes. With lines, newlines and tabs are not escaped.
func appendShown(dst []byte, s string, lines bool) []byte {
	before := rune(-1) // the previous character if it was not escaped, otherwise -1
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		rest := s[i+n:]
		switch {
		case r == utf8.RuneError && n == 1:
			dst = fmt.Appendf(dst, `\x%02x`, s[i])
			before = -1
		case lines && (r == '\n' || r == '\t') || shown(r, before, rest):
			dst = append(dst, s[i:i+n]...)
			before = r
		default:
			dst = appendEscape(dst, r)
			before = -1
		}
		i += n
	}
	return dst
}

// appendEscape appends r as a JSON escape in ASCII. Characters above U+FFFF become a surrogate
// pair.
func appendEscape(dst []byte, r rune) []byte {
	switch r {
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	if r1, r2 := utf16.EncodeRune(r); r1 != unicode.ReplacementChar {
		return fmt.Appendf(dst, `\u%04x\u%04x`, r1, r2)
	}
	return fmt.Appendf(dst, `\u%04x`, r)
}

// Zero-width characters that change how their neighbours are joined.
const (
	nonJoiner = '\u200c'
	joiner    = '\u200d'
)

// shown reports whether r may stay unescaped between the character before and the text rest.
func shown(r, before rune, rest string) bool {
	switch {
	case r < 0x7f:
		return r >= ' '
	case r == joiner || r == nonJoiner:
		// Scripts such as Devanagari and Persian, and emoji, need joiners. In other text they
		// are an invisible split of a word.
		after, n := utf8.DecodeRuneInString(rest)
		return foreign(before) && n > 1 && foreign(after)
	case unicode.Is(unicode.Variation_Selector, r):
		// One selector after a character with variants is normal. A run of selectors can encode
		// hidden text, one byte each.
		return foreign(before) || before >= '0' && before <= '9' || before == '#' || before == '*'
	}
	return visible(r)
}

// foreign reports whether r is a visible character outside ASCII.
func foreign(r rune) bool {
	return r > 0x7f && visible(r) && !unicode.Is(unicode.Variation_Selector, r)
}

// visible reports whether r, a character outside ASCII, takes space on the screen or modifies
// the previous character, as an accent does.
func visible(r rune) bool {
	switch {
	case unicode.Is(unicode.Prepended_Concatenation_Mark, r): // Arabic signs of category Cf that are visible
		return true
	case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Cs, unicode.Noncharacter_Code_Point, unicode.Other_Default_Ignorable_Code_Point):
		return false
	}
	return true
}
