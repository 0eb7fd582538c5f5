package words

import (
	"testing"
	"time"
)

func TestNumbersReadWell(t *testing.T) {
	for got, want := range map[string]string{
		Number(0): "0", Number(999): "999", Number(1000): "1,000", Number(1234567): "1,234,567", Number(-1000): "-1,000",
		Plural(1, "error"): "1 error", Plural(2000, "error"): "2,000 errors",
		Age(59 * time.Second): "59s", Age(90 * time.Minute): "1h", Age(72 * time.Hour): "3d",
		Span(1234 * time.Millisecond): "1.2s", Span(840 * time.Millisecond): "840ms", Span(250 * time.Second): "4m10s",
		Rate(5, time.Second): "5.0", Rate(5000, 2*time.Second): "2,500", Rate(1, 0): "-",
		Shorten("a\n b  c", 9): "a b c", Shorten("äöüäöü", 4): "äöü…",
		Some("job", []string{"c", "a"}): "job a, c", Some("", []string{"a", "g", "f", "e", "d", "c", "b"}): "a, b, c, d, e and 2 more",
		Quote("a-b/c"): "a-b/c", Quote("it's"): `'it'\''s'`, Quote(""): "''",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
