package bedrock

import (
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

// NoteHeader carries the note of a job in the answer of Get, for clients whose SDK drops members that it does not know.
// Its value is UTF-8 with every byte that is not printable ASCII, and every percent sign, as %XX (RFC 3986).
const NoteHeader = "X-Batholith-Note"

// maxNoteHeader is the longest value of NoteHeader in bytes: the heads of answers fit the 4 KiB that proxies have for them. A longer note is
// cut, and ends with an ellipsis; the member batholith.note has all of it.
const maxNoteHeader = 1024

// headed is an output that also stands in headers of its answer.
type headed interface{ headers(h http.Header) }

// headers implements headed for Get. In a list, a summary has no headers of its own.
func (s *JobSummary) headers(h http.Header) {
	if s.Batholith != nil && s.Batholith.Note != "" {
		h.Set(NoteHeader, headerText(s.Batholith.Note, maxNoteHeader))
	}
}

// headerText writes s, on one line, as the value of a header of at most limit bytes. It is cut between two characters.
func headerText(s string, limit int) string {
	const ellipsis = "%E2%80%A6"
	var b strings.Builder
	fits := 0 // length up to which an ellipsis would still fit
	for s = strings.TrimSpace(s); s != ""; {
		_, n := utf8.DecodeRuneInString(s)
		for _, c := range []byte(s[:n]) {
			if c < ' ' || c > '~' || c == '%' {
				fmt.Fprintf(&b, "%%%02X", c)
			} else {
				b.WriteByte(c)
			}
		}
		if b.Len() > limit {
			return b.String()[:fits] + ellipsis
		}
		if b.Len()+len(ellipsis) <= limit {
			fits = b.Len()
		}
		s = s[n:]
	}
	return b.String()
}
