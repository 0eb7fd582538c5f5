package plain

import (
	"fmt"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Line returns s as it can stand within a line: every character that would act on a terminal, end the line or be invisible is an escape.
func Line(s string) string {
	if harmless(s, false) {
		return s
	}
	return string(appendShown(make([]byte, 0, len(s)+16), s, false))
}

// harmless tells at the speed of memory that s has ASCII characters only, none of which is an escape.
func harmless[T string | []byte](s T, lines bool) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && !(lines && (c == '\n' || c == '\t')) || c >= 0x7f {
			return false
		}
	}
	return true
}

// appendShown appends s with its escapes. With lines, newlines and tabs stay.
func appendShown(dst []byte, s string, lines bool) []byte {
	before := rune(-1) // the last character, if it was shown as it is
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

// appendEscape writes a character as JSON does in ASCII.
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

const (
	nonJoiner = '\u200c'
	joiner    = '\u200d'
)

// shown tells whether a character may stand as it is, between the one before and the rest.
func shown(r, before rune, rest string) bool {
	switch {
	case r < 0x7f:
		return r >= ' '
	case r == joiner || r == nonJoiner:
		// Scripts such as Devanagari and Persian, and emoji, need them. Elsewhere they split words without a trace.
		after, n := utf8.DecodeRuneInString(rest)
		return foreign(before) && n > 1 && foreign(after)
	case unicode.Is(unicode.Variation_Selector, r):
		// One after a character that has variants. Several hide text: each stands for a byte.
		return foreign(before) || before >= '0' && before <= '9' || before == '#' || before == '*'
	}
	return visible(r)
}

// foreign tells whether a character outside of ASCII takes room on the screen.
func foreign(r rune) bool {
	return r > 0x7f && visible(r) && !unicode.Is(unicode.Variation_Selector, r)
}

// visible tells whether a character outside of ASCII takes room or, as an accent, changes the one before.
func visible(r rune) bool {
	switch {
	case unicode.Is(unicode.Prepended_Concatenation_Mark, r): // Arabic signs, which are seen although they are in Cf
		return true
	case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Cs, unicode.Noncharacter_Code_Point, unicode.Other_Default_Ignorable_Code_Point):
		return false
	}
	return true
}
