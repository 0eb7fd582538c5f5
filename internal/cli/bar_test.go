package cli

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTheBarNeverWraps(t *testing.T) {
	for _, columns := range []int{0, 1, 10, 26, 40, 80} {
		var out bytes.Buffer
		b := &bar{out: &out, width: func() int { return columns }}
		b.draw(1, 2, strings.Repeat("words ", 20))
		line := strings.TrimSuffix(strings.TrimPrefix(out.String(), "\r"), "\x1b[J\r")
		if n := widthOf(line); n > max(0, columns-1) {
			t.Errorf("%d characters on %d columns", n, columns)
		}
	}
}

func TestTheBarShowsTheShare(t *testing.T) {
	for _, tt := range []struct {
		part, whole int64
		want        string
	}{
		{0, 200, "░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░   0% w"},
		{100, 200, "████████████████░░░░░░░░░░░░░░░░░  50% w"},
		{199, 200, "████████████████████████████████░  99% w"},
		{200, 200, "█████████████████████████████████ 100% w"},
		{300, 200, "█████████████████████████████████ 100% w"},
		{5, 0, "w"},
	} {
		var out bytes.Buffer
		b := &bar{out: &out, width: func() int { return 41 }}
		b.draw(tt.part, tt.whole, "w")
		if got, want := out.String(), "\r"+tt.want+"\x1b[J\r"; got != want {
			t.Errorf("%d of %d: %q, want %q", tt.part, tt.whole, got, want)
		}
	}
}

func TestAnUnseenBarIsNotCleared(t *testing.T) {
	var out bytes.Buffer
	b := &bar{out: &out, width: func() int { return 80 }}
	b.clear()
	b.again()
	b.draw(0, 0, "w")
	b.clear()
	b.clear()
	b.again()
	if got, want := out.String(), "\rw\x1b[J\r\r\x1b[J"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A terminal that becomes narrower wraps the line that is there. A drawing leaves nothing of it.
func TestAResizeLeavesNothingOfTheBarBehind(t *testing.T) {
	columns := 40
	var out bytes.Buffer
	b := &bar{out: &out, width: func() int { return columns }}
	b.draw(1, 2, "a word · another")
	v := newVT(40)
	v.write(out.String())
	for _, columns = range []int{12, 25, 5, 60} {
		v.resize(columns)
		out.Reset()
		b.again()
		v.write(out.String())
		if want := strings.TrimRight(b.line(*b.last, columns-1), " "); v.text() != want {
			t.Errorf("%d columns show %q, want %q", columns, v.text(), want)
		}
	}
}

// vt is as much of a terminal as a bar needs: one paragraph that is wrapped anew when the width changes, and a cursor that stays at its
// character, as terminals do.
type vt struct {
	columns, cursor int
	cells           []rune
}

func newVT(columns int) *vt { return &vt{columns: columns} }

// resize keeps the paragraph and the cursor: rows are where the text wraps.
func (v *vt) resize(columns int) { v.columns = columns }

func (v *vt) write(s string) {
	for s != "" {
		rest, cleared := strings.CutPrefix(s, "\x1b[J")
		switch {
		case cleared:
			v.cells, s = v.cells[:min(v.cursor, len(v.cells))], rest
			continue
		case s[0] == '\r':
			v.cursor -= v.cursor % v.columns // the beginning of the row, not of the paragraph
			s = s[1:]
			continue
		}
		r, n := utf8.DecodeRuneInString(s)
		for v.cursor >= len(v.cells) {
			v.cells = append(v.cells, ' ')
		}
		v.cells[v.cursor] = r
		v.cursor++
		s = s[n:]
	}
}

func (v *vt) text() string { return strings.TrimRight(string(v.cells), " ") }
