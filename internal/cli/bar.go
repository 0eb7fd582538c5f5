package cli

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"

	"github.com/batholith/batholith/internal/plain"
)

// bar is one line at the bottom of a terminal that is drawn over and over: a bar, a percentage and members beside it, as many as there is
// room for. The line never wraps when it is drawn. When the terminal becomes narrower, it may wrap the line that is there. So the cursor
// rests at the beginning of the line, where it stays, and each drawing clears the screen from there to its end.
type bar struct {
	out   io.Writer
	width func() int // columns of the terminal now; it may be resized
	ascii bool
	last  *drawn // what is shown; nil: nothing
}

// drawn is what a bar shows.
type drawn struct {
	part, whole int64
	members     []member
}

// member is one of the things that a bar says. The lower its rank, the longer it stays when room gets scarce. No two of
// a bar have the same rank.
type member struct {
	rank int
	text string
}

// How many characters the bar itself has.
const (
	leastCells = 10
	mostCells  = 60
	// barWidth is the narrowest terminal that has a bar; others show the percentage only.
	barWidth = 40
)

// The movements of the cursor that the bar needs.
const (
	lineStart = plain.Control("\r")
	clearRest = plain.Control("\x1b[J") // from the cursor to the end of the screen
)

// separator stands between members.
const separator = " · "

// newBar is a bar on stderr.
func (a *app) newBar() bar {
	s := a.talk()
	return bar{out: s.out, width: a.barColumns(s), ascii: s.ascii}
}

// barColumns are those of the screen; a bar that is never drawn has none.
func (a *app) barColumns(s *screen) func() int {
	if s.columns == nil {
		return func() int { return 0 }
	}
	return s.columns
}

// draw shows part of whole, and words whose parts between separators are members; with no whole there are only words.
func (b *bar) draw(part, whole int64, words string) {
	var members []member
	for i, text := range strings.Split(words, separator) {
		members = append(members, member{rank: i, text: text})
	}
	b.show(drawn{part: part, whole: whole, members: members})
}

// show draws a bar with members.
func (b *bar) show(d drawn) {
	b.last = &d
	_ = plain.Draw(b.out, lineStart, b.line(d, max(b.width()-1, 0)), clearRest, lineStart)
}

// again draws what is shown once more, as wide as the terminal is now.
func (b *bar) again() {
	if b.last != nil {
		b.show(*b.last)
	}
}

// clear takes the line away and leaves the cursor at its beginning.
func (b *bar) clear() {
	if b.last != nil {
		_ = plain.Draw(b.out, lineStart, clearRest)
		b.last = nil
	}
}

// line lays out a bar on some columns: as many members as fit in the order of their ranks, and the bar itself in what room is left.
func (b *bar) line(d drawn, columns int) string {
	full, empty := b.text("█"), b.text("░")
	each := max(widthOf(full), widthOf(empty))
	share, cells := "", 0
	if d.whole > 0 {
		d.part = min(max(d.part, 0), d.whole)
		share = fmt.Sprintf("%3d%% ", 100*d.part/d.whole)
		if columns >= barWidth {
			share, cells = " "+share, leastCells
		}
	}
	words, room := b.choose(d.members, columns-cells*each-len(share))
	filled := 0
	if cells > 0 {
		cells = min(mostCells, cells+max(room, 0)/each)
		filled = int(int64(cells) * d.part / d.whole)
	}
	return runewidth.Truncate(strings.Repeat(full, filled)+strings.Repeat(empty, cells-filled)+share+words, columns, "")
}

// choose joins the members that fit into some columns, and returns the columns that are left. The first in rank is always there. One that does
// not fit ends the choice: none of a higher rank takes its place.
func (b *bar) choose(members []member, columns int) (words string, left int) {
	between := b.text(separator)
	ranked := slices.Clone(members)
	slices.SortStableFunc(ranked, func(x, y member) int { return cmp.Compare(x.rank, y.rank) })
	last := math.MinInt // rank of the last that fits
	left = columns + widthOf(between)
	for i, m := range ranked {
		n := widthOf(b.text(m.text)) + widthOf(between)
		if i > 0 && n > left {
			break
		}
		last, left = m.rank, left-n
	}
	var texts []string
	for _, m := range members {
		if m.rank <= last {
			texts = append(texts, b.text(m.text))
		}
	}
	return strings.Join(texts, between), left
}

// text is a text as it appears in the line.
func (b *bar) text(s string) string {
	s = plain.Line(s)
	if b.ascii {
		return plain.ASCII(s)
	}
	return s
}
