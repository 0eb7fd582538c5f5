package cli

import (
	"io"
	"os"
	"strings"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"

	"github.com/batholith/batholith/internal/plain"
)

// screen is what a stream of people's text can show. The zero value is a pipe: nothing is cut, coloured or drawn over.
type screen struct {
	out     io.Writer
	columns func() int // of the terminal now: it may be resized; nil in a pipe
	colour  bool
	ascii   bool // only ASCII can be shown
}

// width is how many columns a line may have now; 0: any number.
func (s *screen) width() int {
	if s.columns == nil {
		return 0
	}
	return s.columns()
}

// paint is the sequence of a colour, and the one that ends it; both are empty where nothing is coloured.
func (s *screen) paint(c plain.Control) (before, after plain.Control) {
	if !s.colour || c == "" {
		return "", ""
	}
	return c, plainColour
}

// text is how a text of anybody's appears on one line of the screen, so that its width can be known.
func (s *screen) text(t string) string {
	t = plain.Line(t)
	if s.ascii && s.columns != nil {
		return plain.ASCII(t)
	}
	return t
}

// The colours (ECMA-48, SGR).
const (
	red         plain.Control = "\x1b[31m"
	green       plain.Control = "\x1b[32m"
	yellow      plain.Control = "\x1b[33m"
	cyan        plain.Control = "\x1b[36m"
	plainColour plain.Control = "\x1b[0m"
)

// talk is the screen of messages, stderr.
func (a *app) talk() *screen {
	s := &screen{out: a.stderr, colour: a.colour(a.live()), ascii: a.ascii(a.terminal)}
	if a.terminal {
		s.columns = a.columnsOf(os.Stderr)
	}
	return s
}

// page is the screen of results that people read, stdout. Data goes to a.stdout itself.
func (a *app) page() *screen {
	s := &screen{out: a.stdout, colour: a.colour(a.paged && !a.dumb()), ascii: a.ascii(a.paged)}
	if a.paged {
		s.columns = a.columnsOf(os.Stdout)
	}
	if w, ok := a.stdout.(*plain.Writer); ok && s.ascii && !a.paged {
		s.out = w.Signs()
	}
	return s
}

// live tells whether a line of stderr can be drawn over.
func (a *app) live() bool { return a.terminal && !a.dumb() }

// dumb tells of a terminal that knows no control sequences.
func (a *app) dumb() bool { return a.getenv("TERM") == "dumb" }

// colour tells whether to colour a stream, which can show colours or cannot. The conventions are those of no-color.org and of
// bixense.com/clicolors: NO_COLOR wins, CLICOLOR_FORCE colours pipes too, CLICOLOR=0 colours nothing.
func (a *app) colour(can bool) bool {
	if a.noColour || a.getenv("NO_COLOR") != "" {
		return false
	}
	if force := a.getenv("CLICOLOR_FORCE"); force != "" && force != "0" {
		return true
	}
	return can && a.getenv("CLICOLOR") != "0"
}

// ascii tells whether a stream is to show ASCII only: the locale has no UTF-8, or the terminal is dumb. POSIX: LC_ALL wins over LC_CTYPE,
// which wins over LANG; without any the locale is C. A pipe has no characters of its own, and gets UTF-8 unless a variable says otherwise.
func (a *app) ascii(terminal bool) bool {
	if a.dumb() {
		return true
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToLower(a.getenv(name)); locale != "" {
			return !strings.Contains(locale, "utf-8") && !strings.Contains(locale, "utf8")
		}
	}
	return terminal
}

// usualColumns is the width of a terminal that does not tell its own.
const usualColumns = 80

// columnsOf asks the terminal behind a file at each call.
func (a *app) columnsOf(f *os.File) func() int {
	if a.columns != nil {
		return a.columns
	}
	return func() int {
		width, _, err := term.GetSize(int(f.Fd()))
		if err != nil || width == 0 {
			return usualColumns
		}
		return width
	}
}

// streams returns the writers of a process: on a terminal whose locale has no UTF-8 both write ASCII only; in a pipe the messages do without
// the program's own signs, and data stays as it is.
func (a *app) streams(stdout, stderr io.Writer) (io.Writer, io.Writer) {
	out, err := plain.NewWriter(stdout), plain.NewWriter(stderr)
	if a.paged && a.ascii(true) {
		out = out.ASCII()
	}
	switch {
	case a.terminal && a.ascii(true):
		err = err.ASCII()
	case a.ascii(false):
		err = err.Signs()
	}
	return out, err
}

// widthOf is how many columns a text takes: two for a wide character, none for an accent. Characters of ambiguous width count as two in
// the locales of Chinese, Japanese and Korean.
func widthOf(text string) int { return runewidth.StringWidth(text) }

// cutOff stands for the rest of a text that was cut.
const cutOff = "…"

// cut shortens a text, as it appears, to some columns.
func (s *screen) cut(text string, columns int) string {
	mark := s.text(cutOff)
	if columns < widthOf(mark) {
		mark = ""
	}
	return runewidth.Truncate(text, max(columns, 0), mark)
}

// preview is a text on one line: as long as the screen has columns for it, and in a pipe of at most so many characters.
func (s *screen) preview(text string, columns, characters int) string {
	text = strings.Join(strings.Fields(text), " ")
	if s.columns == nil {
		if runes := []rune(text); len(runes) > characters {
			text = string(runes[:characters-1]) + cutOff
		}
		return s.text(text)
	}
	if len(text) > 16*columns { // bytes enough for any text of so many columns
		text = text[:16*columns] + cutOff
	}
	return s.cut(s.text(text), columns)
}

// wrap breaks a text, as it appears, at its blanks into lines of at most some columns. A word that is wider stays whole: the terminal breaks
// it, and it can still be copied. 0 columns: one line.
func wrap(text string, columns int) []string {
	if columns <= 0 || widthOf(text) <= columns {
		return []string{text}
	}
	var lines []string
	line, width := "", 0
	for _, word := range strings.Fields(text) {
		n := widthOf(word)
		switch {
		case line == "":
			line, width = word, n
		case width+1+n <= columns:
			line, width = line+" "+word, width+1+n
		default:
			lines = append(lines, line)
			line, width = word, n
		}
	}
	return append(lines, line)
}
