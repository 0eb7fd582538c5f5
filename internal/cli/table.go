package cli

import (
	"fmt"
	"math"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/doctor"
	"github.com/batholith/batholith/internal/plain"
)

// cell is a text of a table and its colour; "" is the terminal's own.
type cell struct {
	text   string
	colour plain.Control
}

// column says how a column gives way on a narrow screen. Cuttable columns are cut first, the widest of them by one
// column at a time; optional columns are left out, the last first, if cutting is not enough.
type column struct {
	name     string
	least    int  // columns that it keeps when it is cut; 0: it is never cut
	optional bool // it is left out where the table is too wide even when all are cut
}

// gap is how many blanks stand between two columns.
const gap = 2

// table is a list of rows below the names of its columns. In a pipe all cells are whole. On a terminal each row
// takes one line.
type table struct {
	columns []column
	rows    [][]cell
}

// write prints the table for the present width of the screen. It replaces the cells by their escaped texts, so it
// is called once.
func (t *table) write(s *screen) error {
	head := make([]cell, len(t.columns))
	for i, c := range t.columns {
		head[i].text = c.name
	}
	rows := append([][]cell{head}, t.rows...)
	widths := make([]int, len(t.columns))
	for _, row := range rows {
		for i := range row {
			row[i].text = s.text(row[i].text)
			widths[i] = max(widths[i], widthOf(row[i].text))
		}
	}
	if n := s.width(); n > 0 {
		t.fit(widths, n)
	}
	for _, row := range rows {
		if err := t.line(s, row, widths); err != nil {
			return err
		}
	}
	return nil
}

// fit reduces widths until a row has at most columns columns, or until nothing more can give way. A column that is
// left out gets the width -1.
func (t *table) fit(widths []int, columns int) {
	for {
		// over is the number of columns by which a row is too wide; the last column has no gap behind it.
		over := -gap - columns
		for _, w := range widths {
			if w >= 0 {
				over += w + gap
			}
		}
		widest, last, room := -1, -1, 0
		for i, c := range t.columns {
			if widths[i] < 0 {
				continue
			}
			if spare := widths[i] - c.least; c.least > 0 && spare > 0 {
				room += spare
				if widest < 0 || widths[i] > widths[widest] {
					widest = i
				}
			}
			if c.optional {
				last = i
			}
		}
		switch {
		case over <= 0:
			return
		case over > room && last >= 0:
			widths[last] = -1
		case widest >= 0:
			widths[widest]--
		default:
			return
		}
	}
}

// line prints one row and cuts it at the edge of the terminal. Blanks are written only before another cell, so
// that no line ends in blanks.
func (t *table) line(s *screen, row []cell, widths []int) error {
	var parts []any
	blanks, left := 0, math.MaxInt
	if n := s.width(); n > 0 {
		left = n
	}
	for i, c := range row {
		if widths[i] < 0 {
			continue
		}
		if parts != nil {
			blanks += gap
		}
		if left <= blanks {
			break
		}
		text := s.cut(c.text, min(widths[i], left-blanks))
		before, after := s.paint(c.colour)
		parts = append(parts, strings.Repeat(" ", blanks), before, text, after)
		left -= blanks + widthOf(text)
		blanks = widths[i] - widthOf(text)
	}
	return plain.Draw(s.out, append(parts, newline)...)
}

// facts prints lines of a name and a value. On a terminal a long value continues below its beginning; in a pipe it
// has one line. The first error is kept in err, and nothing is printed after it.
type facts struct {
	screen *screen
	indent int // columns of the names, with the gap
	err    error
}

// row prints a fact. An empty value means that the fact is unknown, and prints nothing.
func (f *facts) row(name string, value cell) {
	if value.text == "" || f.err != nil {
		return
	}
	room := 0
	if n := f.screen.width(); n > 0 {
		room = max(n-f.indent, leastFactRoom)
	}
	before, after := f.screen.paint(value.colour)
	for i, line := range wrap(f.screen.text(value.text), room) {
		if i > 0 {
			name = ""
		}
		f.err = plain.Draw(f.screen.out, fmt.Sprintf("%-*s", f.indent, name), before, line, after, newline)
	}
}

// leastFactRoom is the smallest number of columns for a value, however narrow the terminal is.
const leastFactRoom = 10

// colourOf returns the colour of a job's status: green for Completed, red for Failed, yellow for the other ends,
// none before the end.
func colourOf(s batholith.Status) plain.Control {
	switch s {
	case batholith.StatusCompleted:
		return green
	case batholith.StatusFailed:
		return red
	case batholith.StatusPartiallyCompleted, batholith.StatusStopped, batholith.StatusExpired:
		return yellow
	}
	return ""
}

// severities are the colours of the doctor's findings.
var severities = map[doctor.Severity]plain.Control{doctor.Sound: green, doctor.Mended: green, doctor.Note: yellow, doctor.Problem: red}
