package plain

import (
	"strings"
	"unicode/utf8"
)

// cutOff marks the end of a text that was cut.
const cutOff = "…"

// Short returns s as one line of at most n bytes, with each run of white space as one blank. n
// must be at least 3.
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

// Unquoted returns the beginning of the first line of a library's message, up to its first
// quotation mark. What such a message quotes may have come from a peer and may be a prompt or a
// key. " […]" marks what was left out.
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
