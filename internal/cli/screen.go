package cli

import (
	"io"
	"os"
	"strings"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"

	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/words"
)

// screen is a stream for people and what it can display. The zero value stands for a pipe: nothing is cut,
// coloured or drawn over.
type screen struct {
	out     io.Writer
	columns func() int // of the terminal now: it may be resized; nil in a pipe
	colour  bool
	ascii   bool // only ASCII can be shown
}

// width returns the width of a line in columns, or 0 if lines may have any length. It asks the terminal at each
// call, because the terminal may be resized.
func (s *screen) width() int {
	if s.columns == nil {
		return 0
	}
	return s.columns()
}

// paint returns the control sequences around a coloured text. Both are empty if the stream shows no colours or c
// is "".
func (s *screen) paint(c plain.Control) (before, after plain.Control) {
	if !s.colour || c == "" {
		return "", ""
	}
	return c, plainColour
}

// text returns t as it appears on one line: control characters escaped, and on a terminal without UTF-8 in ASCII
// only. Widths must be measured on this text.
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

// talk returns the screen for messages, stderr.
func (a *app) talk() *screen {
	s := &screen{out: a.stderr, colour: a.colour(a.live()), ascii: a.ascii(a.terminal)}
	if a.terminal {
		s.columns = a.columnsOf(os.Stderr)
	}
	return s
}

// page returns the screen for results that people read, stdout. Data for programs is written to a.stdout directly.
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

// live reports whether lines of stderr can be drawn over, as the progress bar does.
func (a *app) live() bool { return a.terminal && !a.dumb() }

// dumb reports whether the terminal knows no control sequences (TERM=dumb).
func (a *app) dumb() bool { return a.getenv("TERM") == "dumb" }

// colour reports whether to colour a stream. can says that the stream is a terminal with colours. The rules are
// those of no-color.org and bixense.com/clicolors: NO_COLOR and --no-color turn colours off, CLICOLOR_FORCE turns
// them on in pipes too, CLICOLOR=0 turns them off.
func (a *app) colour(can bool) bool {
	if a.noColour || a.getenv("NO_COLOR") != "" {
		return false
	}
	if force := a.getenv("CLICOLOR_FORCE"); force != "" && force != "0" {
		return true
	}
	return can && a.getenv("CLICOLOR") != "0"
}

// ascii reports whether a stream can show ASCII only: the terminal is dumb, or the locale is not UTF-8. POSIX:
// LC_ALL wins over LC_CTYPE, which wins over LANG; without any of them the locale is C. A pipe gets UTF-8 unless
// one of the variables says otherwise.
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

// usualColumns is the width assumed for a terminal that does not report one.
const usualColumns = 80

// columnsOf returns a function that reports the width of the terminal behind f, in columns.
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

// streams returns the writers of the process, which escape control characters. On a terminal without UTF-8 both
// write ASCII only. In a pipe with such a locale, messages avoid the program's own signs such as "→", and results
// stay unchanged.
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

// widthOf returns the number of columns of a text: two for a wide character, none for a combining accent.
// Characters of ambiguous width have two columns in Chinese, Japanese and Korean locales.
func widthOf(text string) int { return runewidth.StringWidth(text) }

// cutOff marks the end of a text that was cut.
const cutOff = "…"

// cut shortens a text that text returned to at most columns columns, the mark included.
func (s *screen) cut(text string, columns int) string {
	mark := s.text(cutOff)
	if columns < widthOf(mark) {
		mark = ""
	}
	return runewidth.Truncate(text, max(columns, 0), mark)
}

// preview returns a text on one line with its white space collapsed. On a terminal it has at most columns columns,
// in a pipe at most characters characters.
func (s *screen) preview(text string, columns, characters int) string {
	if s.columns == nil {
		return s.text(words.Shorten(text, characters))
	}
	text = strings.Join(strings.Fields(text), " ")
	// Measuring a text of a megabyte takes long, and only its beginning can be shown.
	if len(text) > 16*columns { // bytes enough for any text of so many columns
		text = text[:16*columns] + cutOff
	}
	return s.cut(s.text(text), columns)
}

// wrap breaks a text at its blanks into lines of at most columns columns. A longer word stays whole on its own
// line, so that paths and commands can be copied. 0 columns means one line.
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
