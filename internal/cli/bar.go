package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/batholith/batholith/internal/plain"
)

// bar is one line at the bottom of a terminal that is drawn over and over: a bar, a percentage and words about it. It never
// wraps, since a line that has wrapped cannot be taken back.
type bar struct {
	out   io.Writer
	width func() int // columns of the terminal now; it may be resized
	shown bool
}

// barCells is how many characters the bar itself has.
const barCells = 20

// The movements of the cursor that the bar needs.
const (
	lineStart = plain.Control("\r")
	clearLine = plain.Control("\x1b[K") // from the cursor to the end of the line
)

// draw shows part of whole; with no whole there are only words.
func (b *bar) draw(part, whole int64, words string) {
	words = plain.Line(words)
	line := words
	if whole > 0 {
		part = min(max(part, 0), whole)
		full := int(barCells * part / whole)
		line = fmt.Sprintf("%s%s %3d%% %s", strings.Repeat("█", full), strings.Repeat("░", barCells-full), 100*part/whole, words)
	}
	if room := b.width() - 1; len([]rune(line)) > room {
		line = fit(line, max(room, 0))
	}
	_ = plain.Draw(b.out, lineStart, line, clearLine)
	b.shown = true
}

// clear takes the line away and leaves the cursor at its beginning.
func (b *bar) clear() {
	if b.shown {
		_ = plain.Draw(b.out, lineStart, clearLine)
		b.shown = false
	}
}

// fit shortens a line to some columns, by whole parts if it has any.
func fit(line string, columns int) string {
	cut := string([]rune(line)[:columns])
	if i := strings.LastIndex(cut, " ·"); i > 0 {
		return cut[:i]
	}
	return cut
}
