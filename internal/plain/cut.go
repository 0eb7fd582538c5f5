package plain

import (
	"strings"
	"unicode/utf8"
)

// cutOff stands for the rest of a text that was cut.
const cutOff = "…"

// Short is s as it can stand within a line, with every run of white space as one blank, in at most n bytes. n is at least 3.
func Short(s string, n int) string {
	s = Line(strings.Join(strings.Fields(s), " "))
	if len(s) <= n {
		return s
	}
	n -= len(cutOff)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + cutOff
}

// Unquoted is the first line of a text of a library, up to its first quotation, as it can stand within a line. What such a text quotes may
// be what a peer sent: a prompt, or a key.
func Unquoted(s string) string {
	before, cut := s, false
	if i := strings.IndexAny(s, "\"`\n"); i >= 0 {
		before, cut = s[:i], true
	}
	before = Line(strings.TrimSpace(before))
	switch {
	case !cut:
		return before
	case before == "":
		return "[…]"
	}
	return before + " […]"
}
