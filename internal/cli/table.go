package cli

import (
	"fmt"
	"math"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/doctor"
	"github.com/batholith/batholith/internal/plain"
)

// cell is a text of a table and its colour.
type cell struct {
	text   string
	colour plain.Control
}

// column is how a column of a table yields when the screen is too narrow for all.
type column struct {
	name     string
	least    int  // columns that it keeps when it is cut; 0: it is never cut
	optional bool // it is left out where the table is too wide even when all are cut
}

// gap is how many blanks stand between two columns.
const gap = 2

// table is rows below their names. In a pipe every cell is whole. On a terminal a row takes one line.
type table struct {
	columns []column
	rows    [][]cell
}

// write lays the table out for the screen as wide as it is now.
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

// fit makes widths narrower until a row has at most so many columns. A column that is left out gets -1.
func (t *table) fit(widths []int, columns int) {
	for {
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

// line writes one row. It ends where the terminal does, when the columns that are never cut are too wide for it.
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

// facts are lines of a name and a value. On a terminal a long value goes on below its beginning; in a pipe it is one line.
type facts struct {
	screen *screen
	indent int // columns of the names, with the gap
	err    error
}

// row writes a fact. One without a value is not known, and has no line.
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

// leastFactRoom is how many columns text is given at least, where the terminal has hardly any.
const leastFactRoom = 10

// colourOf is the colour of a job's status.
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
