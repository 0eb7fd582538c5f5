package document

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Formats are the formats that are read, by Bedrock's names (Bedrock: DocumentBlock, format).
const (
	PDF  = "pdf"
	Word = "docx"
)

// Readable reports whether documents of a format are read.
func Readable(format string) bool { return format == PDF || format == Word }

// Limits bound what one document may take.
type Limits struct {
	Pages   int   // number of pages
	Content int64 // decompressed bytes
	Text    int   // bytes of text, as UTF-8
	Forms   int   // how often forms of a PDF are drawn; each may draw others, many times
}

// DefaultLimits admit every document that fits in a record. The text of 2,000 full pages has about
// 6 MB.
var DefaultLimits = Limits{Pages: 2000, Content: 128 << 20, Text: 16 << 20, Forms: 100_000}

// Unreadable is the error for a document that cannot be read. It is the document's fault, not the
// program's.
type Unreadable struct{ Why string } // cause and remedy, without a subject: "is encrypted; …"

// Error returns "the document …".
func (e *Unreadable) Error() string { return "the document " + e.Why }

// unreadable returns an Unreadable with a formatted reason.
func unreadable(format string, args ...any) error { return &Unreadable{fmt.Sprintf(format, args...)} }

// Pages reads the text of each page, in order, in the calling process. A hostile document can end
// the process: see [Reader]. The error is an [*Unreadable].
func Pages(format string, data []byte, limits Limits) (pages []string, err error) {
	defer func() {
		if r := recover(); r != nil { // the parsers panic on some malformed documents
			pages, err = nil, broken(format, fmt.Sprint(r))
		}
	}()
	switch format {
	case PDF:
		return pdfPages(data, limits)
	case Word:
		return wordPages(data, limits)
	}
	return nil, unreadable("has the format '%s', which cannot be read; give its text", format)
}

// maxReason is the length in bytes to which a parser's reason is cut. It may quote the document.
const maxReason = 120

// broken is the error for a document that does not follow its format.
func broken(format, why string) error {
	if why = clean(why); len(why) > maxReason {
		why = strings.ToValidUTF8(why[:maxReason], "") + "…"
	}
	return unreadable("is no valid %s file (%s); save or print it again as %s, or give its text", format, why, format)
}

// tooLong is the error for a text over the limit, in bytes.
func tooLong(most int) error { return unreadable("has more than %d MB of text; split it", most>>20) }

// clean removes what does not belong into a text: control characters except line feed and tab, and
// invalid UTF-8. Ligatures become letters, which tokenizers know.
func clean(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return cleaner.Replace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < ' ' || r == 0x7f || r == 0xad || r == 0xfeff: // 0xad: a place where a word may be broken
			return -1
		}
		return r
	}, s))
}

var cleaner = strings.NewReplacer("ﬀ", "ff", "ﬁ", "fi", "ﬂ", "fl", "ﬃ", "ffi", "ﬄ", "ffl", "ﬅ", "st", "ﬆ", "st", "\u00a0", " ")
