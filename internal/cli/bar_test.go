package cli

import (
	"bytes"
	"strings"
	"testing"
)

func TestTheBarNeverWraps(t *testing.T) {
	for _, columns := range []int{0, 1, 10, 26, 40, 80} {
		var out bytes.Buffer
		b := &bar{out: &out, width: func() int { return columns }}
		b.draw(1, 2, strings.Repeat("words ", 20))
		line := strings.TrimSuffix(strings.TrimPrefix(out.String(), "\r"), "\x1b[K")
		if n := len([]rune(line)); n > max(0, columns-1) {
			t.Errorf("%d characters on %d columns", n, columns)
		}
	}
}

func TestTheBarShowsTheShare(t *testing.T) {
	for _, tt := range []struct {
		part, whole int64
		want        string
	}{
		{0, 200, "░░░░░░░░░░░░░░░░░░░░   0% w"},
		{100, 200, "██████████░░░░░░░░░░  50% w"},
		{199, 200, "███████████████████░  99% w"},
		{200, 200, "████████████████████ 100% w"},
		{300, 200, "████████████████████ 100% w"},
		{5, 0, "w"},
	} {
		var out bytes.Buffer
		b := &bar{out: &out, width: func() int { return 80 }}
		b.draw(tt.part, tt.whole, "w")
		if got, want := out.String(), "\r"+tt.want+"\x1b[K"; got != want {
			t.Errorf("%d of %d: %q, want %q", tt.part, tt.whole, got, want)
		}
	}
}

func TestAnUnseenBarIsNotCleared(t *testing.T) {
	var out bytes.Buffer
	b := &bar{out: &out, width: func() int { return 80 }}
	b.clear()
	b.draw(0, 0, "w")
	b.clear()
	b.clear()
	if got, want := out.String(), "\rw\x1b[K\r\x1b[K"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
