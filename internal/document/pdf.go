package document

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/ledongthuc/pdf"
)

// pdfPages reads the pages of a PDF. The library reads the file's structure, its filters and its
// encryption; the text comes from the content of the pages: see pdfText.
func pdfPages(data []byte, limits Limits) ([]string, error) {
	start := bytes.Index(data[:min(len(data), 1024)], []byte("%PDF-"))
	if start < 0 {
		return nil, broken(PDF, "it does not begin with %PDF-")
	}
	data = data[start:] // some programs write something before the file
	from := &once{data: bytes.NewReader(data), at: map[int64]int{}}
	r, err := pdf.NewReader(from, int64(len(data)))
	from.at = nil
	switch {
	case from.loop:
		return nil, broken(PDF, "its table of objects does not end")
	case errors.Is(err, pdf.ErrInvalidPassword), err != nil && strings.Contains(err.Error(), "ncrypt"):
		return nil, unreadable("is encrypted; remove its password, or give its text")
	case err != nil:
		return nil, broken(PDF, err.Error())
	}
	tree := pdfTree{most: limits.Pages}
	if err := tree.walk(r.Trailer().Key("Root").Key("Pages"), pdf.Value{}, 0); err != nil {
		return nil, err
	}
	if len(tree.pages) == 0 {
		return nil, broken(PDF, "it has no pages")
	}
	t := pdfText{limits: limits, fonts: map[string]*pdfFont{}}
	pages := make([]string, 0, len(tree.pages))
	for _, page := range tree.pages {
		text, err := t.page(page)
		if err != nil {
			return nil, err
		}
		pages = append(pages, text)
	}
	return pages, t.judge(len(pages))
}

// once is a file while its table of objects is read: each section of the table names the place of the one before it (PDF 32000-1: 7.5.5, Prev).
// The library follows them without an end if one of them names itself or a later one. It reads each place of a sound file a few times.
type once struct {
	data *bytes.Reader
	at   map[int64]int // how often each offset was read; nil: not counted any more
	loop bool
}

// maxReads is how often one place of a file may be read for its table of objects.
const maxReads = 8

// ReadAt implements io.ReaderAt.
func (o *once) ReadAt(p []byte, off int64) (int, error) {
	if o.at != nil {
		if o.at[off]++; o.at[off] > maxReads {
			o.loop = true
			return 0, errors.New("the table of objects contains itself")
		}
	}
	return o.data.ReadAt(p, off)
}

// pdfTree collects the pages of a file (PDF 32000-1: 7.7.3). The library's own search does not end
// in a tree that contains itself.
type pdfTree struct {
	most  int // number of pages
	nodes int // that were visited
	pages []pdfPage
}

// pdfPage is the content of a page and its resources.
type pdfPage struct{ content, resources pdf.Value }

// maxTreeDepth is how deep the nodes of a tree may contain each other. Programs write a few levels.
const maxTreeDepth = 32

// walk visits a node. Nodes inherit the resources of the node above them.
func (t *pdfTree) walk(v, resources pdf.Value, depth int) error {
	if v.Kind() != pdf.Dict {
		return broken(PDF, "a page is missing")
	}
	if t.nodes++; depth > maxTreeDepth || t.nodes > 4*(t.most+maxTreeDepth) {
		return broken(PDF, "its tree of pages does not end")
	}
	if own := v.Key("Resources"); own.Kind() == pdf.Dict {
		resources = own
	}
	kids := v.Key("Kids")
	if kids.Kind() != pdf.Array {
		if t.pages = append(t.pages, pdfPage{v.Key("Contents"), resources}); len(t.pages) > t.most {
			return unreadable("has more than %d pages; split it", t.most)
		}
		return nil
	}
	for i := range kids.Len() {
		if err := t.walk(kids.Index(i), resources, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// judge returns an error if the pages have no text, or text of which most cannot be read.
func (t *pdfText) judge(pages int) error {
	switch {
	case t.unmapped > t.mapped:
		return unreadable("has fonts without a table of their characters (ToUnicode), so its text cannot be read; print it to a new PDF, or give its pages as images")
	case t.mapped == 0:
		return unreadable("has no text, only images or empty pages (%d). Run text recognition (OCR) on it, or give its pages as images", pages)
	}
	return nil
}

// content returns the decompressed content of a stream, or of an array of streams. An array in an array is none (PDF 32000-1: table 30), and
// could be the same one.
func (t *pdfText) content(v pdf.Value) ([]byte, error) {
	if v.Kind() != pdf.Array {
		return t.stream(v)
	}
	var all []byte
	for i := range v.Len() {
		part, err := t.stream(v.Index(i))
		if err != nil {
			return nil, err
		}
		all = append(append(all, part...), '\n')
	}
	return all, nil
}

// stream returns the decompressed content of a stream; nothing if v is none.
func (t *pdfText) stream(v pdf.Value) ([]byte, error) {
	if v.Kind() != pdf.Stream {
		return nil, nil
	}
	r := v.Reader()
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, t.limits.Content-t.read+1))
	if t.read += int64(len(data)); t.read > t.limits.Content {
		return nil, unreadable("decompresses to more than %d MB; split it, or give its text", t.limits.Content>>20)
	}
	if err != nil && len(data) == 0 {
		return nil, broken(PDF, err.Error())
	}
	return data, nil // an error at the end, such as a wrong checksum: viewers show what was read
}
