package plain

import (
	"strings"
	"unicode/utf8"
)

// signs replaces the non-ASCII characters that the program itself writes by ASCII.
var signs = strings.NewReplacer("…", "...", "→", "->", "×", "x", "·", "|", "█", "#", "░", ".", "–", "-", "—", "-", "−", "-",
	"“", `"`, "”", `"`, "‘", "'", "’", "'", "≤", "<=", "≥", ">=", "½", "1/2")

// ASCII returns s for a terminal that can show ASCII only. The program's own signs become ASCII
// ("→" is "->"), and every other non-ASCII character becomes a JSON escape ("é" is "\u00e9").
func ASCII(s string) string {
	s = signs.Replace(s)
	if isASCII(s) {
		return s
	}
	b := make([]byte, 0, 2*len(s))
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r < utf8.RuneSelf, r == utf8.RuneError && n == 1: // a byte that is not UTF-8 is left to Line
			b = append(b, s[i])
		default:
			b = appendEscape(b, r)
		}
		i += n
	}
	return string(b)
}

// isASCII reports whether every byte of s is ASCII.
func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Signs returns a Writer to the same stream that replaces the program's own signs by ASCII and
// leaves all other characters. It is for pipes and logs in a locale without UTF-8.
func (w *Writer) Signs() *Writer { return &Writer{out: w.out, recode: signs.Replace} }

// ASCII returns a Writer to the same stream that writes only ASCII. It is for terminals in a
// locale without UTF-8, which may interpret a byte of a UTF-8 character as a control code.
func (w *Writer) ASCII() *Writer { return &Writer{out: w.out, recode: ASCII} }
