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

// drawn is the content of a bar. If whole is 0, the bar has neither cells nor a percentage, only the members.
type drawn struct {
	part, whole int64
	members     []member
}

// member is one text beside the bar. When the terminal is too narrow for all members, those with the highest rank
// are left out first. Two members of a bar never have the same rank.
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

// newBar returns a bar on stderr that draws nothing until draw or show is called.
func (a *app) newBar() bar {
	s := a.talk()
	return bar{out: s.out, width: a.barColumns(s), ascii: s.ascii}
}

// barColumns returns a function that gives the width of the terminal in columns. If stderr is not a terminal, the
// function returns 0, and line then gives an empty text.
func (a *app) barColumns(s *screen) func() int {
	if s.columns == nil {
		return func() int { return 0 }
	}
	return s.columns
}

// draw shows the share part/whole, with words beside it. Words are split at " · " into members, and the leftmost
// stays longest when the terminal is narrow. If whole is 0, only the words are shown.
func (b *bar) draw(part, whole int64, words string) {
	var members []member
	for i, text := range strings.Split(words, separator) {
		members = append(members, member{rank: i, text: text})
	}
	b.show(drawn{part: part, whole: whole, members: members})
}

// show replaces the line on the terminal by d and remembers d for again. An error of the terminal is ignored: a
// bar must not end the command that it describes.
func (b *bar) show(d drawn) {
	b.last = &d
	_ = plain.Draw(b.out, lineStart, b.line(d, max(b.width()-1, 0)), clearRest, lineStart)
}

// again draws the current content again, for the present width of the terminal. It does nothing if no bar is
// shown.
func (b *bar) again() {
	if b.last != nil {
		b.show(*b.last)
	}
}

// clear removes the line from the terminal and leaves the cursor at the beginning of the empty line, so that other
// output can be written there.
func (b *bar) clear() {
	if b.last != nil {
		_ = plain.Draw(b.out, lineStart, clearRest)
		b.last = nil
	}
}

// line returns d as text of at most columns columns. Members are added in the order of their ranks while they fit.
// The cells get the columns that are left, between leastCells and mostCells:
//
//	filled = cells × part / whole
//
// A terminal of less than barWidth columns has no cells.
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

// choose returns the members that fit into columns, joined in the order of the line, and the number of columns
// left over. The member with the lowest rank is always included; line cuts it if it is too wide. Choosing ends at
// the first member that does not fit: a shorter member with a higher rank does not take its place.
func (b *bar) choose(members []member, columns int) (words string, left int) {
	between := b.text(separator)
	ranked := slices.Clone(members)
	slices.SortStableFunc(ranked, func(x, y member) int { return cmp.Compare(x.rank, y.rank) })
	// Choose by rank first, then join in the order of the line: the two orders differ.
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

// text returns s as the line shows it: control characters escaped, and without characters beyond ASCII if the
// locale has none.
func (b *bar) text(s string) string {
	s = plain.Line(s)
	if b.ascii {
		return plain.ASCII(s)
	}
	return s
}
