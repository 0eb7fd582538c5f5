package plain

import (
	"strings"
	"unicode/utf8"
)

// signs are the characters beyond ASCII that the program itself writes, with what stands for
// each where only ASCII can be shown.
var signs = strings.NewReplacer("…", "...", "→", "->", "×", "x", "·", "|", "█", "#", "░", ".", "–", "-", "—", "-", "−", "-",
	"“", `"`, "”", `"`, "‘", "'", "’", "'", "≤", "<=", "≥", ">=", "½", "1/2")

// ASCII returns s as a terminal shows it that knows ASCII only: the program's own signs in
// ASCII letters, and every other character beyond ASCII as the escape of JSON.
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

// isASCII tells whether every byte of s is ASCII.
func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Signs returns a Writer to the same stream that writes the program's own signs in ASCII, and
// text of others as it is. It is for pipes and logs of a locale without UTF-8.
func (w *Writer) Signs() *Writer { return &Writer{out: w.out, recode: signs.Replace} }

// ASCII returns a Writer to the same stream that writes nothing but ASCII. It is for terminals
// of a locale without UTF-8: they may take single bytes of a character for controls.
func (w *Writer) ASCII() *Writer { return &Writer{out: w.out, recode: ASCII} }
