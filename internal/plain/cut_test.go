package plain

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAShortTextIsOneLineOfBoundedLength(t *testing.T) {
	for in, want := range map[string]string{
		"a\n\t b  c":           "a b c",
		"twelve bytes":         "twelve bytes",
		"thirteen bytes":       "thirteen …",
		"zwölfzwölf":           "zwölfzwölf",
		"1234567äöü":           "1234567ä…",
		"\x1b[31mred":          `\u001b[31…`,
		strings.Repeat("ä", 9): "ääää…",
	} {
		got := Short(in, 12)
		if got != want || len(got) > 12 || !utf8.ValidString(got) {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestNothingAfterTheFirstQuotationIsKept(t *testing.T) {
	for in, want := range map[string]string{
		"Unsolicited response received: \"sekrit\"": "Unsolicited response received: […]",
		"it says `sekrit`":                          "it says […]",
		"first\nsekrit":                             "first […]",
		"\"sekrit":                                  "[…]",
		" no quotation\x00 ":                        `no quotation\u0000`,
		"":                                          "",
	} {
		if got := Unquoted(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
