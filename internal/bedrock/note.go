package bedrock

import (
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

// NoteHeader is a header of Get's answer that contains the job's note, for clients whose SDK
// drops unknown members. Its value is UTF-8; every percent sign and every byte that is not
// printable ASCII is written as %XX (RFC 3986, section 2.1).
const NoteHeader = "X-Batholith-Note"

// maxNoteHeader is the longest value of NoteHeader in bytes. Proxies commonly allow 4 KiB for
// all headers of an answer. A longer note is cut and ends with an ellipsis; the member
// batholith.note contains all of it.
const maxNoteHeader = 1024

// headed is implemented by outputs that also set headers of the answer.
type headed interface{ headers(h http.Header) }

// headers sets NoteHeader. The handler calls it for Get only, not for the summaries of a list.
func (s *JobSummary) headers(h http.Header) {
	if s.Batholith != nil && s.Batholith.Note != "" {
		h.Set(NoteHeader, headerText(s.Batholith.Note, maxNoteHeader))
	}
}

// headerText encodes s as a header value of at most limit bytes. It cuts between two
// characters.
func headerText(s string, limit int) string {
	const ellipsis = "%E2%80%A6" // "…" in UTF-8, percent-encoded
	var b strings.Builder
	fits := 0 // length of the text to which an ellipsis can still be added
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
