package document

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// A file whose parts contain themselves is refused, or read without them, at once: the limits of the process that reads it are not needed.
func TestAFileThatContainsItselfEndsAtOnce(t *testing.T) {
	const catalogue, pages = "<</Type /Catalog /Pages 2 0 R>>", "<</Type /Pages /Kids [3 0 R] /Count 1>>"
	const page = "<</Type /Page /Parent 2 0 R /Resources <</Font <</F1 4 0 R>>>> /Contents 5 0 R>>"
	text := drawn("(hello) Tj")
	good := file("", catalogue, pages, page, helvetica, text)
	table := bytes.Index(good, []byte("xref\n0"))
	for name, c := range map[string]struct {
		data []byte
		says string // "": it can be read
	}{
		"a table whose Prev is itself": {bytes.Replace(good, []byte("/Root 1 0 R "), fmt.Appendf(nil, "/Root 1 0 R /Prev %d", table), 1), "its table of objects does not end"},
		"a table as a stream":          {loopingStream(catalogue, pages, page, helvetica, text), "its table of objects does not end"},
		"a content of itself":          {file("", catalogue, pages, page, helvetica, "[5 0 R 5 0 R]"), "has no text"},
		"contents of each other":       {file("", catalogue, pages, page, helvetica, "[6 0 R 6 0 R 7 0 R]", "[5 0 R 5 0 R]", text), ""},
		"outlines of themselves":       {file("/Outlines 6 0 R", catalogue, pages, page, helvetica, text, "<</First 6 0 R /Next 6 0 R>>"), ""},
		"a font of itself":             {file("", catalogue, pages, page, "<</Type /Font /Subtype /Type0 /DescendantFonts [4 0 R] /Encoding 4 0 R>>", text), "cannot be read"},
	} {
		got, err := Pages(PDF, c.data, DefaultLimits)
		u, refused := errors.AsType[*Unreadable](err)
		switch {
		case c.says == "" && (err != nil || len(got) != 1 || got[0] != "hello"):
			t.Errorf("%s: %q, %v", name, got, err)
		case c.says != "" && (!refused || !strings.Contains(u.Error(), c.says)):
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// An increment appends a table that names the one before it. Files that were saved often have a long chain of them.
func TestAFileThatWasSavedOftenIsRead(t *testing.T) {
	data := pdfOf(helvetica, drawn("(hello) Tj"))
	for range 300 {
		before, last := bytes.LastIndex(data, []byte("xref\n0")), bytes.LastIndex(data, []byte("\nxref\n"))
		at := max(before, last+1)
		tail := len(data)
		data = fmt.Appendf(data, "xref\n0 1\n0000000000 65535 f \ntrailer\n<</Size 7 /Root 1 0 R /Prev %d>>\nstartxref\n%d\n%%%%EOF\n", at, tail)
	}
	if got, err := Pages(PDF, data, DefaultLimits); err != nil || len(got) != 1 || got[0] != "hello" {
		t.Errorf("%q, %v", got, err)
	}
}

// loopingStream is a PDF with these objects whose table is a stream that names itself as the one before it.
func loopingStream(objects ...string) []byte {
	var b, entries bytes.Buffer
	b.WriteString("%PDF-1.5\n")
	entries.Write(make([]byte, 4))
	for i, o := range objects {
		entries.Write([]byte{1, byte(b.Len() >> 8), byte(b.Len()), 0})
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	at := b.Len()
	fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\nstartxref\n%d\n%%%%EOF\n", len(objects)+1,
		stream(fmt.Sprintf("/Type /XRef /Size %d /W [1 2 1] /Root 1 0 R /Prev %d", len(objects)+1, at), entries.Bytes()), at)
	return b.Bytes()
}
